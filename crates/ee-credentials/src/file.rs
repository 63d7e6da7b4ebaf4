//! Reading credential files, which are input like any other: missing, huge, garbled.

use std::fs;
use std::io::{ErrorKind as Io, Read};
use std::path::Path;

use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// A credential file is a few KiB; nothing honest comes near this.
const MAX_SIZE: u64 = 1 << 20;

/// The text of a file, or `None` if there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    match fs::metadata(path) {
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => Ok(None),
        _ => read(path).map(Some),
    }
}

/// The text of a regular file of bounded size, without a byte-order mark.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let invalid =
        |what: &str| Error::new(ErrorKind::InvalidFile, format!("{} {what}", path.display()));
    let unreadable = |error: std::io::Error| match error.kind() {
        Io::NotFound => invalid("does not exist"),
        Io::PermissionDenied => invalid("may not be read by this user"),
        _ => invalid("cannot be read").with_source(error),
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(invalid("is a folder, not a credential file"));
    }
    // Opening a pipe would wait for whoever writes into it.
    if !metadata.is_file() {
        return Err(invalid("is not a regular file"));
    }
    if metadata.len() > MAX_SIZE {
        return Err(invalid("is too large for a credential file"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(invalid("is too large for a credential file"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("is not UTF-8 text"))?;
    Ok(Zeroizing::new(text.to_owned()))
}
