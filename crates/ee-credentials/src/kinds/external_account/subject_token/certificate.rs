//! A client certificate in the place of a subject token: the connection proves who holds it, and
//! the token is the chain that leads to it (RFC 8705).

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ee_token::{HttpClient, Remedy, SecretString};

use crate::input::file::{read, read_async};
use crate::input::json::Document;
use crate::input::location::Location;
use crate::kinds::external_account::Context;
use crate::{Environment, Error, ErrorKind};

const CONFIG_VARIABLE: &str = "GOOGLE_API_CERTIFICATE_CONFIG";
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Where the certificate is. It is read for each exchange, since certificates are renewed.
#[derive(Clone)]
pub(crate) struct CertificateSource {
    /// The file that says where certificate and key are; `None` for the one that all of
    /// Google's clients share.
    config: Option<PathBuf>,
    trust_chain: Option<PathBuf>,
}

impl CertificateSource {
    pub(crate) fn from_document(source: &Document) -> Result<Self, Error> {
        let config = source.path("certificate_config_location")?;
        let default = source
            .flag("use_default_certificate_config")?
            .unwrap_or(false);
        match (&config, default) {
            (Some(_), true) => Err(source.location.invalid(
                "the field `certificate_config_location` has no place beside `use_default_certificate_config`: true",
            )),
            (None, false) => Err(source.location.invalid_field(
                "certificate_config_location",
                "is missing, and `use_default_certificate_config` is not true",
            )),
            _ => Ok(Self {
                config,
                trust_chain: source.path("trust_chain_path")?,
            }),
        }
    }

    /// A client that shows the certificate, and the chain.
    pub(crate) async fn present(
        &self,
        context: &Context,
    ) -> Result<(HttpClient, SecretString), ee_token::Error> {
        self.read_async(context).await.map_err(|error| {
            let told = error.into_token_error();
            let message = format!("{told} (the certificate that {} names)", context.location);
            let explained = ee_token::Error::new(told.kind(), message);
            match told.remedy().cloned() {
                Some(remedy) => explained.with_remedy(remedy),
                None => explained,
            }
            .with_source(told)
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
                    "Check that the two files are of one issue, and the key is not encrypted.",
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
        let folder = environment.gcloud_config_dir()?.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidEnvironment,
                format!("there is no certificate configuration: {CONFIG_VARIABLE} is not set, and there is no home folder"),
            )
            .with_remedy(Remedy::new(format!("Let {CONFIG_VARIABLE} name the file.")))
        })?;
        Ok(folder.join("certificate_config.json"))
    }
}

/// Where certificate and key are, as a configuration says.
pub(crate) fn paths(config: &str, location: &Location) -> Result<(PathBuf, PathBuf), Error> {
    let workload = Document::parse(config, location)?
        .required_part("cert_configs")?
        .required_part("workload")?;
    Ok((
        workload.required_path("cert_path")?,
        workload.required_path("key_path")?,
    ))
}

/// Adds the certificates that lead from the leaf to an authority. The leaf may be repeated, at
/// the top only; each of the others must have issued the one before it.
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
            return Err(wrong(
                "the leaf certificate does not stand at the top of the chain",
            ));
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
    certificates.first().cloned().ok_or_else(|| {
        location.invalid("there is no certificate in it (-----BEGIN CERTIFICATE-----)")
    })
}

/// Every certificate of a PEM, in DER.
pub(crate) fn certificates(pem: &str, location: &Location) -> Result<Vec<Vec<u8>>, Error> {
    let broken = || location.invalid("a certificate in it is cut off or was changed");
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

/// Issuer and subject of a certificate (RFC 5280 §4.1), as they are encoded.
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

/// The contents of the first DER element, and what follows it (X.690 §8.1).
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
