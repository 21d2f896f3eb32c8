//! What a file is that was given in the place of another, told by its first bytes, and what to do about it.

/// Bytes that are looked at.
const LOOKED_AT: usize = 4096;

/// A sentence about bytes that are of a kind known here, other than what was expected; `None` for any others.
pub(crate) fn kind(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(LOOKED_AT)];
    let has = |what: &[u8]| start.windows(what.len()).any(|window| window == what);
    let text = || start.iter().position(|b| !b.is_ascii_whitespace()).map_or(&[][..], |at| &start[at..]);
    Some(if start.starts_with(b"PK\x03\x04") {
        if has(b"data.pkl") || has(b"/byteorder") || has(b"/.format_version") {
            "a PyTorch checkpoint (.pt): save its state_dict by safetensors.torch.save_file"
        } else if has(b".npy") {
            "a NumPy archive (.npz)"
        } else {
            "a zip archive"
        }
    } else if start.starts_with(&[0x80]) && start.get(1).is_some_and(|version| (2..=5).contains(version)) {
        "a Python pickle, such as PyTorch's older .pt: save its state_dict by safetensors.torch.save_file"
    } else if start.starts_with(b"version https://git-lfs") {
        "a pointer of git LFS, not the file itself: fetch it by git lfs pull"
    } else if start.starts_with(b"\x93NUMPY") {
        "a single NumPy array (.npy): save arrays by numpy.savez"
    } else if start.starts_with(b"\x89HDF") {
        "an HDF5 file"
    } else if start.starts_with(b"GGUF") {
        "a GGUF file"
    } else if start.starts_with(b"\x1f\x8b") {
        "compressed by gzip: unpack it"
    } else if text().starts_with(b"<") {
        "a web page or XML, perhaps an error of the download"
    } else if text().starts_with(b"{") || text().starts_with(b"[") {
        if has(b"weight_map") {
            "the index of a network in several files: join them into one .safetensors"
        } else {
            "JSON text"
        }
    } else if start.get(8) == Some(&b'{') && has(b"\"data_offsets\"") {
        "a safetensors file"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        for (bytes, words) in [
            (&b"PK\x03\x04\0\0\x08\x08\0\0archive/data.pkl"[..], "PyTorch"),
            (b"PK\x03\x04\0\0\0\0x.npy\x93NUMPY", ".npz"),
            (b"PK\x03\x04\0\0\0\0readme", "a zip archive"),
            (b"\x80\x02\x8a\x0al\xfc\x9c", "pickle"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "git lfs pull"),
            (b"\x93NUMPY\x01\0v\0", "numpy.savez"),
            (b"{\n  \"metadata\": {}, \"weight_map\": {", "several files"),
            (b" {\"a\": 1}", "JSON"),
            (b"\n<!DOCTYPE html>", "web page"),
            (b"\x10\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\",\"data_offsets\"", "safetensors"),
        ] {
            let found = kind(bytes).unwrap_or_default();
            assert!(found.contains(words), "{found:?} has no {words:?}");
        }
        for bytes in [&b""[..], b"\x80", b"\x80\x20abc", b"abc"] {
            assert_eq!(kind(bytes), None);
        }
    }
}
