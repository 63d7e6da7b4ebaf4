//! Classification of requests that failed without a response, by their chain of causes.

use std::error::Error as StdError;

use h2::Reason;

use crate::transport::network_settings::NetworkSettings;
use crate::{Error, ErrorKind, Remedy};

/// Why no connection was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectFailure {
    /// The host name could not be resolved.
    Dns,
    /// The proxy rejected the request or could not be reached.
    Proxy,
    /// No trusted authority issued the certificate.
    UntrustedCertificate,
    /// The certificate is not valid for this host.
    WrongName,
    /// The certificate has expired or is not valid yet, by this machine's clock.
    CertificateTime,
    /// TLS failed in another way.
    Tls,
    /// Any other reason: connection refused, reset, no route.
    Unreachable,
}

impl ConnectFailure {
    /// Classifies the causes of an error. rustls and hyper do not expose theirs as types, so their
    /// messages are matched. Unknown causes are `Unreachable`.
    pub(crate) fn of(error: &dyn StdError) -> Self {
        let chain = chain(error);
        let contains = |words: &[&str]| words.iter().any(|word| chain.contains(word));
        // A failed connection to a proxy is the proxy's, even if its name does not resolve.
        if contains(&["tunnel error", "connecting to socks proxy"]) {
            Self::Proxy
        } else if contains(&["dns error", "lookup address"]) {
            Self::Dns
        } else if contains(&[
            "certificate expired",
            "not valid yet",
            "certificatenotvalidyet",
        ]) {
            Self::CertificateTime
        } else if contains(&["not valid for name", "notvalidforname"]) {
            Self::WrongName
        } else if contains(&[
            "unknownissuer",
            "caused by unknown issuer",
            "caused by ca",
            "badsignature",
        ]) {
            Self::UntrustedCertificate
        } else if contains(&["certificate", "tls"]) {
            Self::Tls
        } else if contains(&["tunnel", "proxy"]) {
            Self::Proxy
        } else {
            Self::Unreachable
        }
    }

    /// Returns how to fix the problem.
    pub(crate) fn remedy(self) -> Remedy {
        let settings = NetworkSettings::of_process();
        if self == Self::Proxy
            && let Ok(Some(proxy)) = settings.https_proxy()
        {
            return proxy.remedy();
        }
        if self == Self::UntrustedCertificate
            && let Some((name, _)) = settings.other_bundle
            && !cfg!(any(windows, target_vendor = "apple", target_os = "android"))
        {
            return Remedy::new(format!(
                "Another server responded in place of Google, such as a firewall that inspects traffic. {name} is set, but only other programs read it: set SSL_CERT_FILE to the same file."
            ))
            .command(format!("export SSL_CERT_FILE=\"${name}\""));
        }
        Remedy::new(match self {
            Self::Dns => {
                "Check the network connection and its name server. If this network requires a proxy, set HTTPS_PROXY to its URL."
            }
            Self::Proxy => {
                "Check the proxy in HTTPS_PROXY (or ALL_PROXY): its address, user and password, and whether it allows this host. Hosts in NO_PROXY are reached without a proxy."
            }
            Self::UntrustedCertificate | Self::WrongName => {
                // On these systems, the platform's verifier decides; elsewhere, a file of certificates.
                if cfg!(any(windows, target_vendor = "apple", target_os = "android")) {
                    "Another server responded in place of Google, such as a firewall that inspects traffic or a hotel's login page. If it belongs to your organization, add its certificate authority to those that this system trusts."
                } else {
                    "Another server responded in place of Google, such as a firewall that inspects traffic or a hotel's login page. If it belongs to your organization, set SSL_CERT_FILE to a file with its certificate authority."
                }
            }
            Self::CertificateTime => {
                "Check this machine's date and time. If they are correct, another server responded in place of Google with an expired certificate."
            }
            Self::Tls | Self::Unreachable => {
                "Check the network connection, the proxy (HTTPS_PROXY, NO_PROXY) and the firewall, then try again."
            }
        })
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&error.to_string().to_lowercase());
        text.push('\n');
        next = error.source();
    }
    text
}

/// Returns whether a request certainly was not processed, so that it can be resent at once: it never
/// left the queue of its connection, which had closed, or an HTTP/2 server refused the stream (RFC
/// 9113 §8.7).
///
/// After a graceful shutdown of the connection, this is certain only for a request with a body: hyper
/// reports the same error if the headers have already been sent. `can_resend` says that the request
/// has a body, or that sending it twice has the same effect.
pub(crate) fn is_unprocessed(error: &reqwest::Error, can_resend: bool) -> bool {
    if !error.is_request() {
        return false;
    }
    let mut next = error.source();
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            return error.is_remote()
                && match error.reason() {
                    Some(Reason::REFUSED_STREAM) => error.is_reset(),
                    // A graceful shutdown of the connection.
                    Some(Reason::NO_ERROR) => error.is_go_away() && can_resend,
                    _ => false,
                };
        }
        if let Some(error) = cause.downcast_ref::<hyper::Error>()
            && error.is_canceled()
        {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Returns the last cause, which is the most specific, without the link to its library's manual.
fn innermost(error: &dyn StdError) -> String {
    let mut last = error.source();
    while let Some(next) = last.and_then(StdError::source) {
        last = Some(next);
    }
    let text = last.map(ToString::to_string).unwrap_or_default();
    match text.split_once(": https://") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Returns the error of this crate's own connector, which needs no classification.
fn own_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(own) = cause.downcast_ref().or_else(|| of_verifier(cause)) {
            return Some(own);
        }
        next = cause.source();
    }
    None
}

/// Returns the error of the certificate verifier. rustls wraps it, and so does each `io::Error`, whose
/// source is that of what it wraps.
fn of_verifier<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    if let Some(io) = cause.downcast_ref::<std::io::Error>() {
        return of_verifier(io.get_ref()?);
    }
    match cause.downcast_ref()? {
        rustls::Error::Other(rustls::OtherError(error)) => error.downcast_ref(),
        _ => None,
    }
}

/// How an exchange failed.
pub(crate) enum Stage {
    /// It did not finish before the timeout.
    TimedOut,
    Connect,
    Exchange,
    Body,
}

/// Classifies a reqwest error with [`failure`]. `host` is the requested host; `address` is the one
/// that was connected to instead, if any.
pub(crate) fn from_reqwest(error: reqwest::Error, host: &str, address: &str) -> Error {
    let stage = if error.is_timeout() {
        Stage::TimedOut
    } else if error.is_connect() {
        Stage::Connect
    } else if error.is_body() || error.is_decode() {
        Stage::Body
    } else {
        Stage::Exchange
    };
    failure(stage, error.without_url(), host, address)
}

/// Returns the error of a failed exchange, classified by its chain of causes.
#[cold]
pub(crate) fn failure<E>(stage: Stage, error: E, host: &str, address: &str) -> Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    if let Some(own) = own_error(&error) {
        return own.clone();
    }
    let via = if address == host || address.is_empty() {
        host.to_owned()
    } else {
        format!("{host} (at {address})")
    };
    let why = match stage {
        Stage::Connect => ConnectFailure::of(&error),
        _ => ConnectFailure::Unreachable,
    };
    let message = match (&stage, why) {
        (Stage::TimedOut, _) => format!("{via} did not respond in time"),
        (Stage::Body, _) => format!("the response from {via} is incomplete"),
        (Stage::Exchange, _) => format!("the connection to {via} failed: {}", innermost(&error)),
        (_, ConnectFailure::Dns) => format!("the name {host} cannot be resolved"),
        (_, ConnectFailure::Proxy) => {
            format!("the proxy did not connect to {via}: {}", innermost(&error))
        }
        (_, ConnectFailure::Unreachable) => {
            format!("{via} cannot be reached: {}", innermost(&error))
        }
        _ => format!("the TLS connection to {via} failed: {}", innermost(&error)),
    };
    let kind = match stage {
        Stage::TimedOut => ErrorKind::Timeout,
        _ => ErrorKind::Network,
    };
    Error::new(kind, message)
        .with_remedy(why.remedy())
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of causes as hyper and rustls create it.
    #[derive(Debug)]
    struct Cause(&'static str, Option<Box<Cause>>);

    impl std::fmt::Display for Cause {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Cause {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn connect_failures_are_classified_by_message() {
        for (words, expected) in [
            (
                "dns error: failed to lookup address information",
                ConnectFailure::Dns,
            ),
            (
                "invalid peer certificate: UnknownIssuer",
                ConnectFailure::UntrustedCertificate,
            ),
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX)",
                ConnectFailure::CertificateTime,
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a\"; certificate is only valid for DnsName(\"b\")",
                ConnectFailure::WrongName,
            ),
            ("invalid peer certificate: BadEncoding", ConnectFailure::Tls),
            ("tls handshake eof", ConnectFailure::Tls),
            ("unsuccessful tunnel", ConnectFailure::Proxy),
            (
                "Connection refused (os error 111)",
                ConnectFailure::Unreachable,
            ),
        ] {
            let error = Cause("error sending request", Some(Box::new(Cause(words, None))));
            assert_eq!(ConnectFailure::of(&error), expected, "{words}");
            assert_eq!(innermost(&error), words);
        }
    }

    #[test]
    fn unresolved_proxy_name_is_a_proxy_failure() {
        let dns = Cause(
            "dns error",
            Some(Box::new(Cause(
                "failed to lookup address information",
                None,
            ))),
        );
        let tunnel = Cause(
            "tunnel error: failed to create underlying connection",
            Some(Box::new(dns)),
        );
        let error = Cause("error sending request", Some(Box::new(tunnel)));
        assert_eq!(ConnectFailure::of(&error), ConnectFailure::Proxy);
    }

    #[test]
    fn cause_omits_the_link_to_a_librarys_manual() {
        let words = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/manual";
        let error = Cause("error sending request", Some(Box::new(Cause(words, None))));
        assert_eq!(
            innermost(&error),
            "peer closed connection without sending TLS close_notify"
        );
    }
}
