//! The properties in gcloud's configuration files.

use std::path::Path;

use crate::input::file::{Optional, read_optional};
use crate::input::location::Location;
use crate::{Error, ErrorKind, Warning};

/// Returns a property of the section `core` in the configuration `name`, or in the active one, in
/// gcloud's directory. Adds a warning for a file that cannot be accessed.
pub(crate) fn core_property(
    dir: &Path,
    name: Option<&str>,
    property_name: &str,
    warnings: &mut Vec<Warning>,
) -> Result<Option<String>, Error> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => read(&dir.join("active_config"), warnings)?
            .map(|text| text.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "default".to_owned()),
    };
    if !is_name(&name) {
        // gcloud writes `NONE` for no configuration.
        return Ok(None);
    }
    let file = dir.join("configurations").join(format!("config_{name}"));
    let text = read(&file, warnings)?;
    Ok(text.and_then(|text| property(&text, "core", property_name)))
}

/// Whether gcloud allows the name. A name with a slash would lead out of the directory.
pub(crate) fn is_name(name: &str) -> bool {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(valid)
}

fn read(path: &Path, warnings: &mut Vec<Warning>) -> Result<Option<String>, Error> {
    match read_optional(&Location::file(path)) {
        Ok(Optional::File(contents)) => Ok(Some(contents.text.to_string())),
        Ok(Optional::Missing) => Ok(None),
        Ok(Optional::Inaccessible(warning)) => {
            warnings.push(warning);
            Ok(None)
        }
        Err(error) if error.is_transient() => Err(error),
        // The file is not a credential.
        Err(error) => {
            Err(Error::new(ErrorKind::InvalidEnvironment, error.to_string()).with_cause(error))
        }
    }
}

/// Returns a value in a section of an INI file, as Python's configparser reads it.
pub(crate) fn property(text: &str, section: &str, name: &str) -> Option<String> {
    let mut here = false;
    let mut value = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = trimmed.strip_prefix('[') {
            here = header.split(']').next() == Some(section);
        } else if here
            && !line.starts_with([' ', '\t'])
            && let Some((key, text)) = trimmed.split_once(['=', ':'])
            && key.trim().eq_ignore_ascii_case(name)
        {
            value = Some(text.trim().to_owned());
        }
    }
    value.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn project(dir: &Path, name: Option<&str>) -> Result<Option<String>, Error> {
        core_property(dir, name, "project", &mut Vec::new())
    }

    #[test]
    fn project_is_read_from_its_section() {
        for (text, project) in [
            ("[core]\nproject = p\n", Some("p")),
            (
                "# x\n[core]\naccount = a@b\nproject=p\r\n[compute]\nproject = q\n",
                Some("p"),
            ),
            ("[compute]\nproject = q\n[core]\nPROJECT: p\n", Some("p")),
            ("[core]\nproject =\n", None),
            ("[core]\n; project = p\n#project = p\n", None),
            ("[core]\naccount = a\n  project = p\n", None),
            ("project = p\n", None),
            ("[core", None),
            ("", None),
        ] {
            assert_eq!(
                property(text, "core", "project").as_deref(),
                project,
                "{text:?}"
            );
        }
    }

    #[test]
    fn active_configuration_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        assert_eq!(project(dir, None).unwrap(), None);
        fs::create_dir(dir.join("configurations")).unwrap();
        for name in ["default", "work"] {
            let text = format!("[core]\nproject = {name}-project\n");
            fs::write(dir.join(format!("configurations/config_{name}")), text).unwrap();
        }
        let named = |name| project(dir, name).unwrap();
        assert_eq!(named(None).as_deref(), Some("default-project"));
        fs::write(dir.join("active_config"), "work\n").unwrap();
        assert_eq!(named(None).as_deref(), Some("work-project"));
        assert_eq!(named(Some("default")).as_deref(), Some("default-project"));
        for elsewhere in ["NONE", "absent", "../../etc/passwd", ""] {
            assert_eq!(named(Some(elsewhere)), None, "{elsewhere}");
        }
    }

    #[test]
    fn configuration_that_is_not_a_file_is_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let configuration = dir.path().join("configurations/config_default");
        fs::create_dir_all(&configuration).unwrap();
        let mut warnings = Vec::new();
        let found = core_property(dir.path(), None, "project", &mut warnings);
        assert_eq!(found.unwrap(), None);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].message.contains("config_default"));
        fs::remove_dir(&configuration).unwrap();
        fs::write(&configuration, b"\xff\xfe").unwrap();
        let error = project(dir.path(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidEnvironment);
        assert!(error.to_string().contains("config_default"));
    }

    proptest::proptest! {
        #[test]
        fn property_is_read_between_any_lines(
            before in "[ -~\n]{0,60}", value in "[a-z][a-z0-9:.-]{0,30}", after in "[a-z]{1,9}",
        ) {
            let text = format!("{before}\n[core]\nproject = {value}\n[{after}x]\nproject = other\n");
            assert_eq!(property(&text, "core", "project"), Some(value));
        }
    }
}
