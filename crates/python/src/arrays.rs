//! NumPy arrays in and out.

use faer::{Mat, MatRef};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use superlinear_store::array::{Array, OwnedValues};

/// A vector of what anything else in this workspace calls an error.
pub(crate) fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("{error:#}"))
}

/// A matrix of finite numbers, copied.
pub(crate) fn matrix(name: &str, array: &PyReadonlyArray2<'_, f64>) -> PyResult<Mat<f64>> {
    let view = array.as_array();
    let (rows, columns) = view.dim();
    for ((i, j), x) in view.indexed_iter() {
        if !x.is_finite() {
            return Err(PyValueError::new_err(format!("{name}[{i}, {j}] is {x}, expected a finite number")));
        }
    }
    Ok(Mat::from_fn(rows, columns, |i, j| view[(i, j)]))
}

/// As NumPy's.
pub(crate) fn to_array2<'py>(py: Python<'py>, A: MatRef<'_, f64>) -> Bound<'py, PyArray2<f64>> {
    let (rows, columns) = A.shape();
    let values: Vec<f64> = (0..rows).flat_map(|i| (0..columns).map(move |j| A[(i, j)])).collect();
    let flat = values.into_pyarray(py);
    flat.reshape([rows, columns]).expect("as many entries as the shape has")
}

/// As NumPy's.
pub(crate) fn to_array1<'py>(py: Python<'py>, values: &[f64]) -> Bound<'py, PyArray1<f64>> {
    values.to_vec().into_pyarray(py)
}

/// An array of any shape and of a type that the package takes; copied.
pub(crate) fn given(name: &str, array: &Bound<'_, PyAny>) -> PyResult<Array> {
    fn shaped<T: numpy::Element + Clone>(array: &Bound<'_, PyArrayDyn<T>>) -> (Vec<usize>, Vec<T>) {
        let readonly = array.readonly();
        (array.shape().to_vec(), readonly.as_array().iter().cloned().collect())
    }
    macro_rules! of {
        ($type:ty, $values:ident) => {
            if let Ok(array) = array.cast::<PyArrayDyn<$type>>() {
                let (shape, values) = shaped(array);
                return Ok(Array { shape, values: OwnedValues::$values(values) });
            }
        };
    }
    of!(f64, F64);
    of!(f32, F32);
    of!(i64, I64);
    of!(u8, U8);
    of!(bool, Bool);
    let found = array.getattr("dtype").map_or_else(|_| array.get_type().to_string(), |dtype| dtype.to_string());
    Err(PyTypeError::new_err(format!(
        "{name}: found {found}, expected a NumPy array of float64, float32, int64, uint8 or bool"
    )))
}
