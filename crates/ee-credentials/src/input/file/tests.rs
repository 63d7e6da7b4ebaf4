use super::faults::{Fault, inject};
use super::*;

fn error_of(path: &Path) -> String {
    let error = read(&Location::file(path)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidFile);
    assert!(!error.remedy().text.is_empty());
    let message = error.to_string();
    assert!(message.starts_with(&display_path(path)), "{message}");
    message
}

#[test]
fn unreadable_files_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for (contents, why) in [
        (&b"\xff\xfe{\0}\0"[..], "UTF-16"),
        (b"{\"a\": \"\xff\"}", "not UTF-8 text (from byte 7 on)"),
        (b"{}\0", "NUL"),
    ] {
        fs::write(path("odd"), contents).unwrap();
        assert!(error_of(&path("odd")).contains(why));
    }
    assert!(error_of(dir.path()).contains("directory"));
    assert!(error_of(&path("nowhere")).contains("does not exist"));
    assert!(error_of(&path("odd").join("below")).contains("does not exist"));
    // Sparse: 100 MB that are never read.
    let huge = File::create(path("huge")).unwrap();
    huge.set_len(100_000_000).unwrap();
    assert!(error_of(&path("huge")).contains("1 MiB"));
}

#[cfg(unix)]
#[test]
fn optional_location_that_leads_nowhere_is_a_warning() {
    use rustix::io::Errno;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let code = |location: &Location| match read_optional(location).unwrap() {
        Optional::File(_) => "file",
        Optional::Missing => "missing",
        Optional::Inaccessible(warning) => {
            assert!(warning.message.contains("was skipped: "), "{warning}");
            warning.code
        }
    };
    const SKIPPED: &str = "location_inaccessible";
    fs::write(path("file"), "{}").unwrap();
    fs::create_dir(path("directory")).unwrap();
    std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
    for (name, result) in [
        ("file", "file"),
        ("nowhere", "missing"),
        ("file/below", "missing"),
        ("dangling", "missing"),
        ("directory", SKIPPED),
        ("loop", SKIPPED),
        ("loop/below", SKIPPED),
        ("/dev/null", SKIPPED),
    ] {
        assert_eq!(code(&Location::file(path(name))), result, "{name}");
    }
    for (errno, result) in [
        (Errno::ACCESS, SKIPPED),
        (Errno::PERM, SKIPPED),
        (Errno::NAMETOOLONG, SKIPPED),
        (Errno::NOENT, "missing"),
    ] {
        let _injected = inject(&path("file"), Fault::Error(errno.raw_os_error()));
        let location = Location::file(path("file"));
        assert_eq!(code(&location), result, "{errno}");
        // A variable names it.
        let named = Location::named(path("file"), "EE_CONFIG_FILE");
        assert_eq!(read_optional(&named).is_err(), result == SKIPPED, "{errno}");
    }
    // The file exists, and cannot be read.
    for errno in [Errno::ACCESS, Errno::IO] {
        let _injected = inject(&path("file"), Fault::OpenError(errno.raw_os_error()));
        assert!(read_optional(&Location::file(path("file"))).is_err());
    }
}

#[cfg(unix)]
#[test]
fn device_is_not_opened() {
    assert!(error_of(Path::new("/dev/zero")).contains("device"));
    assert!(error_of(Path::new("/dev/tty")).contains("device"));
}

#[cfg(unix)]
#[test]
fn pipe_that_replaces_the_file_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    // It has no writer: a plain open would block.
    let error = read_file(&pipe, &Location::file(&pipe)).err().unwrap();
    assert!(error.to_string().contains("pipe"), "{error}");
}

#[test]
fn byte_order_mark_is_removed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"\xef\xbb\xbf{}").unwrap();
    assert_eq!(*read(&Location::file(file.path())).unwrap().text, "{}");
}

#[test]
fn fingerprint_changes_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    assert_eq!(FileFingerprint::now(&path).unwrap(), None);
    fs::write(&path, "a").unwrap();
    let before = read(&Location::file(&path)).unwrap().fingerprint;
    assert_eq!(FileFingerprint::now(&path).unwrap(), Some(before));
    fs::write(&path, "ab").unwrap();
    assert_ne!(FileFingerprint::now(&path).unwrap(), Some(before));
}

#[cfg(unix)]
#[test]
fn errors_about_the_file_itself_are_not_transient() {
    use rustix::io::Errno;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "{}").unwrap();
    for errno in [
        Errno::ACCESS,
        Errno::PERM,
        Errno::LOOP,
        Errno::NAMETOOLONG,
        Errno::INVAL,
        Errno::ISDIR,
    ] {
        let _injected = inject(&path, Fault::OpenError(errno.raw_os_error()));
        let error = read(&Location::file(&path)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidFile, "{errno}");
        assert!(!error.is_transient() && !error.remedy().text.is_empty());
    }
    for errno in [Errno::NOENT, Errno::NOTDIR] {
        let _injected = inject(&path, Fault::Error(errno.raw_os_error()));
        assert!(read_if_there(&Location::file(&path)).unwrap().is_none());
    }
}
