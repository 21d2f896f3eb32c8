//! What stands between two layers: a vector, or an image.

use std::fmt;

/// Channels, rows and columns of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ImageShape {
    /// `C`.
    pub channels: usize,
    /// Rows, `H`.
    pub height: usize,
    /// Columns, `W`.
    pub width: usize,
}

impl ImageShape {
    /// `H · W`.
    pub fn n_pixels(self) -> usize {
        self.height * self.width
    }

    /// `C · H · W`.
    pub fn dim(self) -> usize {
        self.channels * self.n_pixels()
    }

    /// The same image plane with other channels.
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }
}

impl fmt::Display for ImageShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}×{}×{}", self.channels, self.height, self.width))
    }
}

/// The shape of what a layer takes or gives for one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// So many numbers.
    Vector(usize),
    /// An image.
    Image(ImageShape),
}

impl Shape {
    /// How many numbers.
    pub fn dim(self) -> usize {
        match self {
            Self::Vector(dim) => dim,
            Self::Image(shape) => shape.dim(),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vector(dim) => f.pad(&format!("{dim} numbers")),
            Self::Image(shape) => f.pad(&format!("{shape} images")),
        }
    }
}
