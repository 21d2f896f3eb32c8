//! The records of a run, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = superlinear_fuzz::run_record(bytes);
});
