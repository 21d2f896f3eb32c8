//! Experiments as data, and as work that survives: what a run is, its identity and records, training and analysis as
//! resumable stages, and how several processes share them.
//!
//! The principal types are [`plan::Plan`], which lists [`spec::RunSpec`]s, and [`pipeline::Pipeline`], which makes
//! their [`record::RunRecord`]s. The crate prints nothing and handles no signal: an [`observer::Observer`] hears how
//! far work is, and stops it. How a number is computed is the business of the crates below, how it is shown that of
//! `superlinear-report`.
//!
//! ```
//! use superlinear_experiments::plan::{Choice, Needs, Plan};
//!
//! let text = r#"
//!     name = "sweep"
//!     [[runs]]
//!     data = "mnist"
//!     source = "embedded"
//!     network = "mlp"
//!     loss = "ce"
//!     images = 300
//!     batch = [25, 50, 100]
//!     epochs = 20
//!     directions = 500
//! "#;
//! let plan = Plan::parse("sweep.toml", text, None)?;
//! let runs = plan.runs(&Choice::default(), |_| Needs { run: true, ..Needs::default() })?;
//! assert_eq!(runs[1].id(), "mnist-mlp-ce-c10-batch50-s0");
//! # Ok::<(), anyhow::Error>(())
//! ```
#![allow(non_snake_case)]

pub mod accounted;
pub mod analyse;
pub mod cost;
pub mod exponents;
pub mod export;
pub mod failure;
pub mod finished_run;
pub mod garbage;
pub mod given_samples;
pub mod identity;
pub mod images;
pub mod keep;
mod layer_spectra;
pub mod manifest;
pub mod model_analysis;
pub mod observer;
pub mod one_epoch;
pub mod outside;
pub mod parameters;
pub mod pending;
pub mod pipeline;
pub mod plan;
pub mod provenance;
pub mod recompute;
pub mod record;
mod resample;
pub mod run_dir;
pub mod shard;
mod shared_work;
pub mod shares;
pub mod spec;
pub mod spectrum;
pub mod spread;
pub mod stored;
mod streams;
pub mod train;
