#![allow(missing_docs)]

use crate::storage::login_file::json_fields::Fields;
use crate::storage::login_file::login::Login;

/// Rewrites the text of Earth Engine's file, with a login if one is given.
pub fn rewritten_login_file(text: &str, login: Option<&Login>) -> Option<String> {
    let mut fields = Fields::parse(text)?;
    if let Some(login) = login {
        login.write_to(&mut fields);
    }
    Some(fields.to_json().to_string())
}
