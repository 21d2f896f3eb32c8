//! Integration tests over all crates: one binary, a module per theme.
//!
//! What the crates compute in closed form is held against [`reference`], which knows none of their formulas: it runs a
//! network on hyper-dual numbers and reads off exact first and second derivatives, one pair of parameters at a time.
//!
//! Everything runs in seconds. With `SUPERLINEAR_SLOW=1` the property tests draw many more
//! cases, and thread counts are compared at the paper's size: a minute or two.
#![allow(non_snake_case)]

mod alignment;
mod awd;
mod bounds;
mod cases;
mod composition;
mod corruption;
mod coverage;
mod dense;
mod directional;
mod exponent_errors;
mod given_factors;
mod joint;
mod moments;
mod noise;
mod operators;
mod per_sample;
mod reference;
mod spectra;
mod threads;
mod training;
mod whole_network;

/// Whether the slow variants are asked for.
pub(crate) fn slow() -> bool {
    std::env::var("SUPERLINEAR_SLOW").is_ok_and(|value| value == "1")
}
