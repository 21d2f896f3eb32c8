//! From records of finished runs to figures, tables, claims and one page.
//!
//! [`publish::publish`] renders everything in memory, and writes it whole. What it draws is [`outputs`], one file
//! each; how the paper's claims fare is [`claims`], one file each. Nothing here trains or analyses: records come from
//! `superlinear-experiments`.
#![allow(non_snake_case)]

pub mod claims;
pub mod fits;
pub mod headline;
pub mod model_analysis;
pub mod outputs;
pub mod page;
pub mod publish;
pub mod spectrum;
pub mod summary;
pub mod table1;
pub mod verify;
