//! The compiled half of the Python package `superlinear`.
//!
//! Functions take NumPy arrays and give arrays, numbers and dictionaries; what a user sees of them is written in
//! `python/superlinear`. Long calls leave the interpreter's lock, tell a callback how far they are, and end by Ctrl-C.
#![allow(non_snake_case)]

mod analysis;
mod arrays;
mod finish;
mod moments;
mod parts;
mod work;

use pyo3::prelude::*;

/// What `import superlinear` wraps.
#[pymodule]
fn _superlinear(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(analysis::analyse, module)?)?;
    module.add_function(wrap_pyfunction!(moments::model_moments, module)?)?;
    module.add_function(wrap_pyfunction!(moments::factor_moments, module)?)?;
    module.add_function(wrap_pyfunction!(parts::power_law, module)?)?;
    module.add_function(wrap_pyfunction!(finish::finish, module)?)?;
    module.add_function(wrap_pyfunction!(finish::figure, module)?)?;
    module.add_function(wrap_pyfunction!(parts::bounds, module)?)?;
    module.add_function(wrap_pyfunction!(parts::commutativity, module)?)?;
    module.add_function(wrap_pyfunction!(parts::haar_null, module)?)?;
    module.add_function(wrap_pyfunction!(parts::eigh, module)?)?;
    module.add_function(wrap_pyfunction!(parts::lanczos, module)?)?;
    Ok(())
}
