//! Networks in ONNX files, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = superlinear_fuzz::onnx(bytes);
});
