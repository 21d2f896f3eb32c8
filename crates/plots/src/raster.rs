//! From SVG to PNG with the embedded font only, and from matrices to small PNG images.

use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::{Color, PlotError, text};

/// PNG pixels for one SVG pixel.
pub(crate) const SCALE: f32 = 2.0;

/// Draws an SVG. The machine's own fonts are never consulted.
pub(crate) fn png(svg: &str) -> Result<Vec<u8>, PlotError> {
    let options = Options { fontdb: fonts(), font_family: "DejaVu Sans".into(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|e| PlotError::Raster(e.to_string()))?;
    let side = |length: f32| (length * SCALE).ceil() as u32;
    let mut pixels = Pixmap::new(side(tree.size().width()), side(tree.size().height()))
        .ok_or_else(|| PlotError::Raster("the image has no pixels".into()))?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| PlotError::Raster(e.to_string()))
}

fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(text::FONT.to_vec());
        fonts.set_sans_serif_family("DejaVu Sans");
        Arc::new(fonts)
    };
    FONTS.get_or_init(load).clone()
}

/// An image of `rows × cols` palette indices; `None` is grey.
pub(crate) fn indexed_png(
    (rows, cols): (usize, usize),
    steps: &[Option<u8>],
    table: &[Color],
) -> Result<Vec<u8>, PlotError> {
    let missing = table.len() as u8;
    let palette: Vec<u8> = table.iter().chain(&[Color::rgb(0xbb, 0xbb, 0xbb)]).flat_map(|c| [c.r, c.g, c.b]).collect();
    let indices: Vec<u8> = steps.iter().map(|step| step.unwrap_or(missing)).collect();
    let fail = |e: png::EncodingError| PlotError::Raster(e.to_string());
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, cols as u32, rows as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(fail)?;
    writer.write_image_data(&indices).map_err(fail)?;
    writer.finish().map_err(fail)?;
    Ok(out)
}
