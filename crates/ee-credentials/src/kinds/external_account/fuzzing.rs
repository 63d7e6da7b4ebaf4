#![allow(missing_docs)]

use std::path::PathBuf;

use ee_token::SecretString;
use url::Url;

use crate::Error;
use crate::input::location::Location;
use crate::kinds::external_account::subject_token::aws;
use crate::kinds::external_account::subject_token::aws::imds;
use crate::kinds::external_account::subject_token::aws::sigv4;
use crate::kinds::external_account::subject_token::certificate;
use crate::kinds::external_account::subject_token::command_line;
use crate::kinds::external_account::subject_token::executable;
use crate::kinds::external_account::subject_token::format::Format;

/// The subject token that an executable printed.
pub fn executable_output(bytes: &[u8]) -> Result<SecretString, Error> {
    let location = Location::Other("the executable's output".into());
    executable::Response::parse(bytes, &location)?.token()
}

/// The subject token in a file's or a URL's text: all of it, or this field of it.
pub fn subject_token(text: &str, field: Option<&str>) -> Result<SecretString, Error> {
    let format = match field {
        None => Format::Text,
        Some(field) => Format::Json(field.to_owned()),
    };
    format.token(text, &Location::InMemory)
}

pub fn command_line(line: &str) -> Result<Vec<String>, &'static str> {
    command_line::split(line)
}

/// Where certificate and key are, as a certificate configuration says.
pub fn certificate_paths(config: &str) -> Result<(PathBuf, PathBuf), Error> {
    certificate::paths(config, &Location::file("/home/me/certificate_config.json"))
}

pub fn certificate_chain(pem: &str) -> Result<Vec<Vec<u8>>, Error> {
    let mut chain = Vec::new();
    certificate::complete(
        &mut chain,
        certificate::certificates(pem, &Location::InMemory)?,
        &Location::InMemory,
    )?;
    Ok(chain)
}

pub fn aws_session_token(text: &str) -> Option<&str> {
    imds::session_token(text)
}

pub fn aws_role(text: &str) -> Option<&str> {
    imds::role_of(text)
}

/// The signed request made of what Amazon's metadata service says of zone and key; `None` if
/// they cannot be used.
pub fn aws_subject_token(zone: &str, key: &str) -> Option<SecretString> {
    let region = imds::region_of(zone);
    let key: sigv4::AccessKey = imds::access_key(key)?;
    if aws::unusable(&region, &key).is_some() {
        return None;
    }
    let text =
        format!("https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15");
    let url = Url::parse(&text).ok()?;
    let token = aws::subject_token(&text, &url, &region, &key, "//iam.googleapis.com/audience");
    Some(token.expose_secret().into())
}
