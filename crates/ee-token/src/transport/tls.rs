//! The TLS configuration of every connection: rustls with ring instead of the process's default
//! provider, which the program may have set to another one. Root certificates are loaded at the
//! first handshake.

use std::sync::{Arc, Once};
use std::thread;

use once_cell::sync::{Lazy, OnceCell};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use zeroize::Zeroizing;

use crate::transport::network_settings::NetworkSettings;
use crate::{Error, ErrorKind, Remedy};

/// The maximum number of hosts whose sessions are kept for resumption.
const MAX_SESSIONS: usize = 64;

static PROVIDER: Lazy<Arc<CryptoProvider>> =
    Lazy::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Returns a client configuration that trusts the platform's root certificates. Its clones share
/// the TLS sessions that can be resumed.
pub(crate) fn client_config() -> Result<ClientConfig, Error> {
    static CONFIG: OnceCell<ClientConfig> = OnceCell::new();
    let config = CONFIG.get_or_try_init(|| {
        let config = of_platform()?.with_no_client_auth();
        Ok(finished(config))
    });
    config.cloned()
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            Error::new(ErrorKind::Network, "TLS could not be set up")
                .with_remedy(Remedy::new(
                    "This is a bug in the program: please report it.",
                ))
                .with_source(error)
        })
}

fn of_platform() -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, Error> {
    Ok(builder()?
        .dangerous() // What rustls calls any custom verifier; this one delegates to the platform's.
        .with_custom_certificate_verifier(Arc::new(LazyVerifier)))
}

/// Returns a configuration that offers HTTP/1.1 only.
pub(crate) fn without_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn finished(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::in_memory_sessions(MAX_SESSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Returns [`client_config`] with a client certificate in PEM.
pub(crate) fn client_config_with_certificate(
    chain: &str,
    key: &str,
) -> Result<ClientConfig, Error> {
    let invalid = |why: &str| {
        Error::new(ErrorKind::InvalidCredential, why).with_remedy(Remedy::new(
            "Check the certificate and key files, which must be in PEM and belong together.",
        ))
    };
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| invalid("the client certificate is not valid PEM"))?;
    if chain.is_empty() {
        return Err(invalid("the text contains no client certificate"));
    }
    // The parser's message could quote the key.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| invalid("the text contains no private key in valid PEM"))?;
    // The key is borrowed, because rustls would otherwise keep it without wiping it.
    let shown = any_supported_type(&key)
        .map(|key| CertifiedKey::new(chain, key))
        .and_then(|shown| shown.keys_match().map(|()| shown))
        .map_err(|error| {
            invalid("the client certificate and the private key do not match").with_source(error)
        })?;
    let resolver = Arc::new(SingleCertAndKey::from(shown));
    Ok(finished(of_platform()?.with_client_cert_resolver(resolver)))
}

/// Returns a client configuration that trusts only these certificate authorities.
pub(crate) fn client_config_with_roots(pem: &str) -> Result<ClientConfig, Error> {
    let invalid = |why: &str| {
        Error::new(ErrorKind::InvalidCredential, why).with_remedy(Remedy::new(
            "Check the file of certificate authorities, which must be in PEM.",
        ))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| invalid("the certificates are not valid PEM"))?;
        roots
            .add(certificate)
            .map_err(|error| invalid("a certificate is invalid").with_source(error))?;
    }
    if roots.is_empty() {
        return Err(invalid("the text contains no certificate"));
    }
    let config = builder()?.with_root_certificates(roots);
    Ok(finished(config.with_no_client_auth()))
}

/// The platform's verifier, created when the first certificate is verified. Loading the root
/// certificates takes longer than everything else before a first request, and programs that use
/// only loopback never need them.
#[derive(Debug)]
struct LazyVerifier;

#[cfg(not(all(unix, not(target_vendor = "apple"), not(target_os = "android"))))]
fn platform() -> Result<&'static dyn ServerCertVerifier, rustls::Error> {
    static VERIFIER: OnceCell<rustls_platform_verifier::Verifier> = OnceCell::new();
    let verifier =
        VERIFIER.get_or_try_init(|| rustls_platform_verifier::Verifier::new(PROVIDER.clone()))?;
    Ok(verifier)
}

/// Verifies with the authorities that the environment names, as these systems do.
#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
fn platform() -> Result<&'static dyn ServerCertVerifier, rustls::Error> {
    static VERIFIER: OnceCell<Arc<WebPkiServerVerifier>> = OnceCell::new();
    let verifier = VERIFIER.get_or_try_init(|| {
        let found = NetworkSettings::of_process().authorities();
        let found = found.map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))?;
        if let Some(error) = found.unusable {
            tracing::warn!("{error}");
        }
        verifier_with(found.certificates)
    })?;
    Ok(verifier.as_ref())
}

/// Returns the verifier with the authorities of one file, if there are any. Most systems have a
/// directory with copies of them, which takes several times as long to read and is rarely needed.
fn file_verifier() -> Option<&'static dyn ServerCertVerifier> {
    static VERIFIER: OnceCell<Option<Arc<WebPkiServerVerifier>>> = OnceCell::new();
    let verifier = VERIFIER.get_or_init(|| {
        let certificates = NetworkSettings::of_process().authorities_of_file()?;
        verifier_with(certificates).ok()
    });
    Some(verifier.as_ref()?.as_ref())
}

fn verifier_with(
    certificates: Vec<CertificateDer<'_>>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
        .build()
        .map_err(|error| rustls::Error::Other(OtherError(Arc::new(error))))
}

/// Loads the root certificates in a thread, while the first connection is established.
pub(crate) fn load_roots() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let thread = thread::Builder::new().name("ee-roots".into());
        // Without a thread, or if they cannot be loaded, the handshake tries and reports it.
        let _ = thread.spawn(|| {
            if file_verifier().is_none() {
                drop(platform());
            }
        });
    });
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verify = |verifier: &dyn ServerCertVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match file_verifier().map(verify) {
            Some(Ok(verified)) => Ok(verified),
            Some(Err(_)) | None => verify(platform()?),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &PROVIDER.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &PROVIDER.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use ee_emulator::{Emulator, RsaKey};
    use rustls::client::WebPkiServerVerifier;
    use rustls::server::WebPkiClientVerifier;
    use rustls::{ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;

    #[tokio::test]
    async fn client_certificate_is_sent_to_a_server_that_requests_it() {
        let emulator = Emulator::start().await.unwrap();
        let provider = emulator.create_x509_provider("//iam.googleapis.com/x");
        let shown = provider.certificate("workload.example");
        let of_server = provider.certificate("sts.mtls.googleapis.com");
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(der(shown.issuer_pem())).unwrap();
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone());
        let server = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                vec![der(of_server.certificate_pem())],
                PrivateKeyDer::from_pem_slice(of_server.key_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        let mut client =
            client_config_with_certificate(shown.certificate_pem(), shown.key_pem()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, PROVIDER.clone());
        client
            .dangerous()
            .set_certificate_verifier(verifier.build().unwrap());

        let name = ServerName::try_from("sts.mtls.googleapis.com").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        let seen = server.peer_certificates().unwrap();
        assert_eq!(seen, [der(shown.certificate_pem())]);
    }

    #[tokio::test]
    async fn mismatched_certificate_and_key_are_not_quoted() {
        let emulator = Emulator::start().await.unwrap();
        let provider = emulator.create_x509_provider("//iam.googleapis.com/x");
        let shown = provider.certificate("workload.example");
        let (chain, key) = (shown.certificate_pem(), shown.key_pem());
        for (chain, key, why) in [
            ("", key, "no client certificate"),
            (&chain[..200], key, "not valid PEM"),
            (chain, "", "no private key"),
            (chain, &key[..200], "no private key"),
            (chain, RsaKey::shared().pkcs8_pem(), "do not match"),
        ] {
            let error = client_config_with_certificate(chain, key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidCredential);
            assert!(error.to_string().contains(why), "{error}");
            assert!(!format!("{error:?}").contains(&RsaKey::shared().pkcs8_pem()[60..80]));
        }
    }
}
