//! A client certificate instead of a subject token: the TLS connection proves possession of the key,
//! and the subject token is the certificate chain (RFC 8705).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_token::{HttpClient, Remedy, SecretString};
use serde::Deserialize;

use crate::input::file::{read, read_async};
use crate::input::json::{FilePath, JsonObject};
use crate::input::location::Location;
use crate::kinds::external_account::context::Context;
use crate::{Environment, Error, ErrorKind};

const CONFIG_VARIABLE: &str = "GOOGLE_API_CERTIFICATE_CONFIG";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The files of the certificate, which are read before each exchange: certificates are renewed.
#[derive(Clone)]
pub(crate) struct CertificateSource {
    /// The file with the paths of certificate and key. `None` for the default one of Google's
    /// clients.
    config: Option<PathBuf>,
    trust_chain: Option<PathBuf>,
}

#[derive(Deserialize)]
struct CertificateFields {
    certificate_config_location: Option<FilePath>,
    use_default_certificate_config: Option<bool>,
    trust_chain_path: Option<FilePath>,
}

/// `cert_configs.workload` of a certificate configuration.
#[derive(Deserialize)]
struct WorkloadCertificate {
    cert_path: FilePath,
    key_path: FilePath,
}

impl CertificateSource {
    pub(crate) fn from_object(source: &JsonObject<'_>) -> Result<Self, Error> {
        let fields: CertificateFields = source.read()?;
        let is_default = fields.use_default_certificate_config.unwrap_or(false);
        match (&fields.certificate_config_location, is_default) {
            (Some(_), true) => Err(source.location.invalid(
                "the field `certificate_config_location` excludes `use_default_certificate_config`: true",
            )),
            (None, false) => Err(source.location.invalid_field(
                "certificate_config_location",
                "is missing, and `use_default_certificate_config` is not true",
            )),
            _ => Ok(Self {
                config: fields.certificate_config_location.map(PathBuf::from),
                trust_chain: fields.trust_chain_path.map(PathBuf::from),
            }),
        }
    }

    /// Returns a client that presents the certificate, and the chain.
    pub(crate) async fn present(
        &self,
        context: &Context,
    ) -> Result<(HttpClient, SecretString), ee_token::Error> {
        self.read_async(context).await.map_err(|error| {
            let why = format!("{error} (the certificate that {} names)", context.location);
            error.into_token_error().context(why)
        })
    }

    async fn read_async(&self, context: &Context) -> Result<(HttpClient, SecretString), Error> {
        let config = Location::file(self.config_path(&context.environment())?);
        let (source, http) = (self.clone(), context.http.clone());
        read_async(&config, move |config| source.read(config, &http)).await
    }

    fn read(
        &self,
        config: &Location,
        http: &HttpClient,
    ) -> Result<(HttpClient, SecretString), Error> {
        let (certificate_path, key_path) = paths(&read(config)?.text, config)?;

        let certificate_place = Location::file(&certificate_path);
        let certificate_pem = read(&certificate_place)?.text;
        let leaf = first(
            &certificates(&certificate_pem, &certificate_place)?,
            &certificate_place,
        )?;
        let mut chain = vec![leaf];
        if let Some(path) = &self.trust_chain {
            let location = Location::file(path);
            let others = certificates(&read(&location)?.text, &location)?;
            first(&others, &location)?;
            complete(&mut chain, others, &location)?;
        }
        let key_place = Location::file(&key_path);
        let key = SecretString::from(read(&key_place)?.text.as_str());
        let http = http
            .with_identity(&certificate_pem, &key)
            .map_err(|error| {
                Error::new(
                    ErrorKind::InvalidFile,
                    format!("{error} ({certificate_place} and {key_place})"),
                )
                .with_remedy(Remedy::new(
                    "Check that the key belongs to the certificate and is not encrypted.",
                ))
                .with_source(error)
            })?;
        let encoded: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
        Ok((
            http,
            SecretString::from(serde_json::Value::from(encoded).to_string()),
        ))
    }

    fn config_path(&self, environment: &Environment) -> Result<PathBuf, Error> {
        if let Some(path) = &self.config {
            return Ok(path.clone());
        }
        if let Some(path) = environment.path_var(CONFIG_VARIABLE)? {
            return Ok(path);
        }
        let dir = environment.gcloud_config_dir()?.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!("no certificate configuration was found: {CONFIG_VARIABLE} is not set, and the home directory is unknown"),
            )
            .with_remedy(Remedy::new(format!("Set {CONFIG_VARIABLE} to the path of the file.")))
        })?;
        Ok(dir.join("certificate_config.json"))
    }
}

/// Reads the paths of certificate and key from a certificate configuration.
pub(crate) fn paths(config: &str, location: &Location) -> Result<(PathBuf, PathBuf), Error> {
    let workload: WorkloadCertificate = JsonObject::parse(config, location)?
        .object("cert_configs")?
        .object("workload")?
        .read()?;
    Ok((workload.cert_path.into(), workload.key_path.into()))
}

/// Adds the certificates between the leaf and an authority. The leaf may be repeated at the top;
/// each of the others must have issued the one before it.
pub(crate) fn complete(
    chain: &mut Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    location: &Location,
) -> Result<(), Error> {
    let wrong = |why: &str| {
        location.invalid(why).with_remedy(Remedy::new(
            "Put the certificates in order: the leaf first or not at all, then its issuer, then the issuer's issuer.",
        ))
    };
    for (at, other) in others.into_iter().enumerate() {
        if chain.first() == Some(&other) {
            if at == 0 {
                continue;
            }
            return Err(wrong("the leaf certificate is not at the top of the chain"));
        }
        chain.push(other);
    }
    for (at, pair) in chain.windows(2).enumerate() {
        let [certificate, next] = pair else { continue };
        let issuer = names(certificate).map(|(issuer, _)| issuer);
        let unreadable = || wrong("a certificate in it cannot be read");
        let issuer = issuer.ok_or_else(unreadable)?;
        let (_, subject) = names(next).ok_or_else(unreadable)?;
        let issuer_is_elsewhere = chain
            .iter()
            .enumerate()
            .any(|(other, der)| other != at + 1 && names(der).is_some_and(|(_, s)| s == issuer));
        if issuer != subject && issuer_is_elsewhere {
            return Err(wrong(
                "the certificates of the chain are in the wrong order",
            ));
        }
    }
    Ok(())
}

fn first(certificates: &[Vec<u8>], location: &Location) -> Result<Vec<u8>, Error> {
    certificates
        .first()
        .cloned()
        .ok_or_else(|| location.invalid("it contains no certificate (-----BEGIN CERTIFICATE-----)"))
}

/// Returns the certificates of a PEM in DER.
pub(crate) fn certificates(pem: &str, location: &Location) -> Result<Vec<Vec<u8>>, Error> {
    let broken = || location.invalid("a certificate in it is truncated or damaged");
    pem.split(BEGIN)
        .skip(1)
        .map(|block| {
            let (body, _) = block.split_once(END).ok_or_else(broken)?;
            let body: String = body.split_whitespace().collect();
            let der = STANDARD.decode(body).map_err(|_| broken())?;
            names(&der).is_some().then_some(()).ok_or_else(broken)?;
            Ok(der)
        })
        .collect()
}

/// Returns the encoded issuer and subject of a certificate (RFC 5280 §4.1).
fn names(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, _) = element(der)?;
    let (fields, _) = element(certificate)?;
    // The version is optional: tagged [0].
    let rest = match fields.first()? {
        0xa0 => element(fields)?.1,
        _ => fields,
    };
    let (_, rest) = element(rest)?; // the serial number
    let (_, rest) = element(rest)?; // the algorithm
    let (issuer, rest) = element(rest)?;
    let (_, rest) = element(rest)?; // the validity
    let (subject, _) = element(rest)?;
    Some((issuer, subject))
}

/// Returns the contents of the first DER element, and the bytes after it (X.690 §8.1).
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let value = digits.iter().try_fold(0_usize, |value, digit| {
                value.checked_mul(256)?.checked_add(usize::from(*digit))
            })?;
            (value, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
