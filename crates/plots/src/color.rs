//! Colours: a colour-blind-safe palette for series and perceptual colour maps for matrices.

/// An opaque sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Red.
    pub r: u8,
    /// Green.
    pub g: u8,
    /// Blue.
    pub b: u8,
}

impl Color {
    /// Blue, the first series colour.
    pub const BLUE: Self = Self::rgb(0x00, 0x72, 0xb2);
    /// Vermillion, the second series colour.
    pub const VERMILLION: Self = Self::rgb(0xd5, 0x5e, 0x00);
    /// Bluish green, the third series colour.
    pub const GREEN: Self = Self::rgb(0x00, 0x9e, 0x73);
    /// Reddish purple, the fourth series colour.
    pub const PURPLE: Self = Self::rgb(0xcc, 0x79, 0xa7);
    /// Orange, the fifth series colour.
    pub const ORANGE: Self = Self::rgb(0xe6, 0x9f, 0x00);
    /// Sky blue, the sixth series colour.
    pub const SKY: Self = Self::rgb(0x56, 0xb4, 0xe9);
    /// Dark grey, the seventh series colour; also that of guides.
    pub const GREY: Self = Self::rgb(0x55, 0x55, 0x55);
    /// Black.
    pub const BLACK: Self = Self::rgb(0, 0, 0);
    /// White.
    pub const WHITE: Self = Self::rgb(255, 255, 255);

    /// A colour from its three bytes.
    pub const fn rgb(r: u8, g: u8, b: u8) -> Self {
        Self { r, g, b }
    }

    /// The `index`-th series colour; starts again after seven. The set is that of Okabe and Ito,
    /// distinguishable with the common colour-vision deficiencies.
    pub const fn series(index: usize) -> Self {
        const CYCLE: [Color; 7] =
            [Color::BLUE, Color::VERMILLION, Color::GREEN, Color::PURPLE, Color::ORANGE, Color::SKY, Color::GREY];
        CYCLE[index % CYCLE.len()]
    }

    pub(crate) fn hex(self) -> String {
        format!("#{:02x}{:02x}{:02x}", self.r, self.g, self.b)
    }
}

/// The colour of `position` in `[0, 1]` on the diverging map: deep blue, near white at ½, deep red.
pub(crate) fn diverging(position: f64) -> Color {
    along(
        &[
            Color::rgb(0x0b, 0x2a, 0x5b),
            Color::rgb(0x2b, 0x6c, 0xb0),
            Color::rgb(0x93, 0xc1, 0xe3),
            Color::rgb(0xf8, 0xf8, 0xf8),
            Color::rgb(0xf3, 0xb0, 0x8a),
            Color::rgb(0xc9, 0x43, 0x36),
            Color::rgb(0x5f, 0x0a, 0x22),
        ],
        position,
    )
}

/// The colour of `position` in `[0, 1]` on the sequential map: pale yellow to deep navy, darker is more.
pub(crate) fn sequential(position: f64) -> Color {
    along(
        &[
            Color::rgb(0xfd, 0xf9, 0xdc),
            Color::rgb(0xa9, 0xdb, 0xb4),
            Color::rgb(0x3f, 0xb0, 0xb8),
            Color::rgb(0x24, 0x6f, 0xa8),
            Color::rgb(0x12, 0x1f, 0x5c),
        ],
        position,
    )
}

/// Interpolates between equally spaced anchors in OKLab, where equal steps look equal.
fn along(anchors: &[Color], position: f64) -> Color {
    let place = position.clamp(0.0, 1.0) * (anchors.len() - 1) as f64;
    let left = (place.floor() as usize).min(anchors.len() - 2);
    let share = place - left as f64;
    let (a, b) = (to_oklab(anchors[left]), to_oklab(anchors[left + 1]));
    from_oklab(std::array::from_fn(|k| a[k] + share * (b[k] - a[k])))
}

fn to_oklab(color: Color) -> [f64; 3] {
    let linear = |byte: u8| {
        let c = f64::from(byte) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let (r, g, b) = (linear(color.r), linear(color.g), linear(color.b));
    let l = (0.412_221_470_8 * r + 0.536_332_536_3 * g + 0.051_445_992_9 * b).cbrt();
    let m = (0.211_903_498_2 * r + 0.680_699_545_1 * g + 0.107_396_956_6 * b).cbrt();
    let s = (0.088_302_461_9 * r + 0.281_718_837_6 * g + 0.629_978_700_5 * b).cbrt();
    [
        0.210_454_255_3 * l + 0.793_617_785_0 * m - 0.004_072_046_8 * s,
        1.977_998_495_1 * l - 2.428_592_205_0 * m + 0.450_593_709_9 * s,
        0.025_904_037_1 * l + 0.782_771_766_2 * m - 0.808_675_766_0 * s,
    ]
}

fn from_oklab([lightness, a, b]: [f64; 3]) -> Color {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let byte = |c: f64| {
        let c = c.clamp(0.0, 1.0);
        let c = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (c * 255.0).round() as u8
    };
    Color::rgb(
        byte(4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s),
        byte(-1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s),
        byte(-0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oklab_round_trip_is_exact_in_bytes() {
        for color in (0..7).map(Color::series).chain([Color::BLACK, Color::WHITE]) {
            assert_eq!(from_oklab(to_oklab(color)), color);
        }
    }

    #[test]
    fn maps_meet_their_anchors_and_saturate() {
        assert_eq!(diverging(0.5), Color::rgb(0xf8, 0xf8, 0xf8));
        assert_eq!(diverging(-3.0), diverging(0.0));
        assert_eq!(sequential(7.0), sequential(1.0));
    }

    #[test]
    fn lightness_of_the_maps_is_monotone() {
        let lightness = |c: Color| to_oklab(c)[0];
        let steps: Vec<f64> = (0..=100).map(|k| f64::from(k) / 100.0).collect();
        assert!(steps.windows(2).all(|w| lightness(sequential(w[0])) > lightness(sequential(w[1])) - 2e-3));
        let (down, up) = steps.split_at(51);
        assert!(down.windows(2).all(|w| lightness(diverging(w[0])) < lightness(diverging(w[1])) + 2e-3));
        assert!(up.windows(2).all(|w| lightness(diverging(w[0])) > lightness(diverging(w[1])) - 2e-3));
    }
}
