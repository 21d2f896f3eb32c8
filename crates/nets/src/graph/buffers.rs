//! Buffers of values that no consumer is left for, to be used again.

use crate::Scalar;

/// Buffers given back, by capacity.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers<T> {
    free: Vec<Vec<T>>,
}

impl<T: Scalar> Buffers<T> {
    /// `len` numbers of any value.
    pub(super) fn take(&mut self, len: usize) -> Vec<T> {
        let fits = |buffer: &Vec<T>| buffer.capacity() >= len && buffer.capacity() / 2 <= len;
        let fitting = self.free.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        match fitting.min_by_key(|(_, buffer)| buffer.capacity()).map(|(i, _)| i) {
            Some(i) => {
                let mut buffer = self.free.swap_remove(i);
                buffer.resize(len, T::ZERO);
                buffer
            }
            None => vec![T::ZERO; len],
        }
    }

    /// `len` zeros.
    pub(super) fn zeros(&mut self, len: usize) -> Vec<T> {
        let mut buffer = self.take(len);
        buffer.fill(T::ZERO);
        buffer
    }

    pub(super) fn give(&mut self, buffer: Vec<T>) {
        if buffer.capacity() > 0 {
            self.free.push(buffer);
        }
    }
}
