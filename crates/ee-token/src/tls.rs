//! The TLS configuration of every connection: rustls with ring, never the process's default
//! provider (the program may have chosen another), roots loaded on the first handshake.

use std::sync::Arc;

use once_cell::sync::{Lazy, OnceCell};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::{Error, ErrorKind};

static PROVIDER: Lazy<Arc<CryptoProvider>> =
    Lazy::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// A client configuration that trusts what the platform trusts.
pub(crate) fn client_config() -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Network, "TLS cannot be set up").with_source(e))?
        .dangerous() // rustls' word for any verifier of one's own; ours asks the platform's
        .with_custom_certificate_verifier(Arc::new(LazyVerifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The platform's verifier, made when the first certificate is to be checked: reading the
/// root certificates takes longer than everything else a program does before its first
/// request, and a program that stays on loopback or signs its own tokens never needs them.
#[derive(Debug)]
struct LazyVerifier;

fn platform() -> Result<&'static Verifier, rustls::Error> {
    static VERIFIER: OnceCell<Verifier> = OnceCell::new();
    VERIFIER.get_or_try_init(|| Verifier::new(PROVIDER.clone()))
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
        platform()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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
