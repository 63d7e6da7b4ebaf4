//! The grants that are exchanged for tokens (RFC 6749, 7523 and 8693).

use std::fmt::{self, Write as _};

use crate::SecretString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::wipe::sensitive_header;
use crate::{Error, ErrorKind, Remedy, Scopes};

/// A grant and its form fields.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Grant<'a> {
    /// A signed assertion (RFC 7523 §2.1); see [`TokenEndpoint::jwt_bearer`](crate::TokenEndpoint::jwt_bearer).
    JwtBearer {
        /// The JWT.
        assertion: &'a SecretString,
    },
    /// A refresh token (RFC 6749 §6).
    RefreshToken {
        /// The OAuth client that the token was issued to. `None` if the client authenticates with
        /// HTTP Basic.
        client_id: Option<&'a str>,
        /// The client's secret.
        client_secret: Option<&'a SecretString>,
        /// The refresh token.
        refresh_token: &'a SecretString,
        /// Google's proof of a recent reauthentication.
        rapt: Option<&'a SecretString>,
        /// The scopes to narrow the token to. `None` for all granted scopes.
        scopes: Option<&'a Scopes>,
    },
    /// An authorization code (RFC 6749 §4.1.3) and its PKCE verifier (RFC 7636 §4.5). It can be used
    /// only once.
    AuthorizationCode {
        /// The code.
        code: &'a SecretString,
        /// The OAuth client.
        client_id: &'a str,
        /// The client's secret.
        client_secret: Option<&'a SecretString>,
        /// The redirect URI that the code was sent to.
        redirect_uri: &'a str,
        /// The PKCE verifier.
        code_verifier: Option<&'a SecretString>,
    },
    /// A token of another issuer (RFC 8693 §2.1).
    TokenExchange {
        /// The workload or workforce identity provider's name.
        audience: &'a str,
        /// The requested scopes.
        scopes: &'a Scopes,
        /// The token of the other issuer.
        subject_token: &'a SecretString,
        /// The type of that token, as a URN.
        subject_token_type: &'a str,
        /// Google's `options`, as JSON text.
        options: Option<&'a str>,
    },
    /// A service account's JWT in Google Distributed Cloud. Sent as JSON, with the field names of its
    /// token server instead of RFC 8693's.
    GdchTokenExchange {
        /// The JWT.
        assertion: &'a SecretString,
        /// The service that the token is for.
        audience: &'a str,
    },
}

impl Grant<'_> {
    /// Returns whether the endpoint accepts the grant only once.
    pub(crate) fn is_single_use(&self) -> bool {
        matches!(self, Self::AuthorizationCode { .. })
    }

    /// Returns the secrets to redact in messages.
    pub(crate) fn secrets(&self) -> Vec<Zeroizing<String>> {
        let all = match *self {
            Self::JwtBearer { assertion } => [Some(assertion), None, None],
            Self::RefreshToken {
                client_secret,
                refresh_token,
                rapt,
                ..
            } => [Some(refresh_token), client_secret, rapt],
            Self::AuthorizationCode {
                code,
                client_secret,
                code_verifier,
                ..
            } => [Some(code), client_secret, code_verifier],
            Self::TokenExchange { subject_token, .. } => {
                return subject_token_secrets(subject_token);
            }
            Self::GdchTokenExchange { assertion, .. } => [Some(assertion), None, None],
        };
        all.into_iter().flatten().map(copy).collect()
    }

    /// Returns the content type and the body of the request.
    pub(crate) fn body(&self) -> (&'static str, Zeroizing<String>) {
        // Large enough if every byte is percent-encoded, because growing would leave copies behind.
        let mut length = 0;
        self.fields(&mut |name, value| length += name.len() + value.len() + 6);
        let mut body = Zeroizing::new(String::with_capacity(3 * length));
        if let Self::GdchTokenExchange { .. } = self {
            body.push('{');
            self.fields(&mut |name, value| {
                let comma = if body.len() > 1 { "," } else { "" };
                // A serde_json string is written quoted and escaped, without another copy.
                let mut text = value.to_owned().into();
                let _ = write!(body, "{comma}\"{name}\":{text}");
                if let serde_json::Value::String(text) = &mut text {
                    text.zeroize();
                }
            });
            body.push('}');
            return ("application/json", body);
        }
        {
            let mut form = Serializer::new(&mut *body);
            self.fields(&mut |name, value| {
                form.append_pair(name, value);
            });
        }
        ("application/x-www-form-urlencoded", body)
    }

    fn fields(&self, add: &mut dyn FnMut(&str, &str)) {
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                add(name, value);
            }
        };
        match *self {
            Self::JwtBearer { assertion } => {
                put(
                    "grant_type",
                    Some("urn:ietf:params:oauth:grant-type:jwt-bearer"),
                );
                put("assertion", Some(assertion.expose_secret()));
            }
            Self::RefreshToken {
                client_id,
                client_secret,
                refresh_token,
                rapt,
                scopes,
            } => {
                put("grant_type", Some("refresh_token"));
                put("client_id", client_id);
                put(
                    "client_secret",
                    client_secret.map(SecretString::expose_secret),
                );
                put("refresh_token", Some(refresh_token.expose_secret()));
                put("rapt", rapt.map(SecretString::expose_secret));
                put("scope", scopes.map(ToString::to_string).as_deref());
            }
            Self::AuthorizationCode {
                code,
                client_id,
                client_secret,
                redirect_uri,
                code_verifier,
            } => {
                put("grant_type", Some("authorization_code"));
                put("code", Some(code.expose_secret()));
                put("client_id", Some(client_id));
                put(
                    "client_secret",
                    client_secret.map(SecretString::expose_secret),
                );
                put("redirect_uri", Some(redirect_uri));
                put(
                    "code_verifier",
                    code_verifier.map(SecretString::expose_secret),
                );
            }
            Self::TokenExchange {
                audience,
                scopes,
                subject_token,
                subject_token_type,
                options,
            } => {
                put(
                    "grant_type",
                    Some("urn:ietf:params:oauth:grant-type:token-exchange"),
                );
                put("audience", Some(audience));
                put("scope", Some(&scopes.to_string()));
                put(
                    "requested_token_type",
                    Some("urn:ietf:params:oauth:token-type:access_token"),
                );
                put("subject_token", Some(subject_token.expose_secret()));
                put("subject_token_type", Some(subject_token_type));
                // Google's STS expects JSON that is URL-encoded once more than the form.
                let options =
                    options.map(|json| byte_serialize(json.as_bytes()).collect::<String>());
                put("options", options.as_deref());
            }
            Self::GdchTokenExchange {
                assertion,
                audience,
            } => {
                put(
                    "grant_type",
                    Some("urn:ietf:params:oauth:token-type:token-exchange"),
                );
                put("audience", Some(audience));
                put(
                    "requested_token_type",
                    Some("urn:ietf:params:oauth:token-type:access_token"),
                );
                put("subject_token", Some(assertion.expose_secret()));
                put(
                    "subject_token_type",
                    Some("urn:k8s:params:oauth:token-type:serviceaccount"),
                );
            }
        }
    }
}

/// Returns the secret parts of a subject token. Of a signed AWS request these are the signature and
/// the session token, because messages name the provider and hosts that it also contains; other
/// tokens are secret as a whole.
fn subject_token_secrets(token: &SecretString) -> Vec<Zeroizing<String>> {
    #[derive(Deserialize)]
    struct SignedRequest {
        headers: Vec<Header>,
    }
    #[derive(Deserialize)]
    struct Header {
        key: String,
        value: SecretString,
    }
    let whole = token.expose_secret();
    // The request is JSON that is URL-encoded as one word (AIP-4117).
    let json = decoded(whole);
    let request = json.and_then(|json| serde_json::from_slice::<SignedRequest>(&json).ok());
    let Some(request) = request else {
        return vec![copy(token)];
    };
    let proof = |header: &Header| match header.key.to_ascii_lowercase().as_str() {
        "authorization" => {
            let (_, signature) = header.value.expose_secret().rsplit_once("Signature=")?;
            Some(Zeroizing::new(signature.to_owned()))
        }
        "x-amz-security-token" => Some(copy(&header.value)),
        _ => None,
    };
    request.headers.iter().filter_map(proof).collect()
}

/// Decodes a URL-encoded word, in a buffer that does not grow, because that would leave copies behind.
fn decoded(word: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(word.len()));
    let mut bytes = word.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(16 * digit()? + digit()?).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    Some(text)
}

fn copy(secret: &SecretString) -> Zeroizing<String> {
    Zeroizing::new(secret.expose_secret().to_owned())
}

impl fmt::Debug for Grant<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JwtBearer { .. } => "JwtBearer(..)",
            Self::RefreshToken { .. } => "RefreshToken(..)",
            Self::AuthorizationCode { .. } => "AuthorizationCode(..)",
            Self::TokenExchange { .. } => "TokenExchange(..)",
            Self::GdchTokenExchange { .. } => "GdchTokenExchange(..)",
        })
    }
}

/// An OAuth client that authenticates with HTTP Basic (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy)]
pub struct ClientBasicAuth<'a> {
    /// The client ID.
    pub client_id: &'a str,
    /// The client secret.
    pub client_secret: &'a SecretString,
}

impl ClientBasicAuth<'_> {
    /// Returns the secrets to redact in messages: the client secret and the encoded header.
    pub(crate) fn secrets(&self) -> [Zeroizing<String>; 2] {
        [copy(self.client_secret), self.pair()]
    }

    pub(crate) fn basic(&self) -> Result<HeaderValue, Error> {
        sensitive_header(&["Basic ", &self.pair()]).map_err(|_| {
            Error::new(
                ErrorKind::InvalidCredential,
                "the client ID contains characters that a header cannot hold",
            )
            .with_remedy(Remedy::new(
                "Check `client_id`, and copy it again without spaces and line breaks.",
            ))
        })
    }

    /// Returns the encoded ID and secret (RFC 7617 §2).
    fn pair(&self) -> Zeroizing<String> {
        let (id, secret) = (self.client_id, self.client_secret.expose_secret());
        // Large enough, because growing would leave copies behind.
        let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + secret.len()));
        pair.extend([id, ":", secret]);
        Zeroizing::new(STANDARD.encode(pair.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use url::form_urlencoded;

    use super::*;

    fn secrets_of(subject_token: &str) -> Vec<String> {
        let grant = Grant::TokenExchange {
            audience: "//iam.googleapis.com/a",
            scopes: &Scopes::default(),
            subject_token: &subject_token.into(),
            subject_token_type: "t",
            options: None,
        };
        grant.secrets().iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn signature_and_session_of_a_signed_request_are_secret() {
        let request = serde_json::json!({"url": "https://sts.us-east-1.amazonaws.com", "headers": [
            {"key": "Authorization", "value": "AWS4-HMAC-SHA256 Credential=AKID/x, Signature=abc123"},
            {"key": "x-amz-security-token", "value": "session"},
            {"key": "host", "value": "sts.us-east-1.amazonaws.com"},
        ]});
        let encoded: String = byte_serialize(request.to_string().as_bytes()).collect();
        assert_eq!(secrets_of(&encoded), ["abc123", "session"]);
        assert_eq!(secrets_of("eyJhbGciOi.x.y"), ["eyJhbGciOi.x.y"]);
    }

    proptest::proptest! {
        #[test]
        fn form_fields_round_trip(
            token in "\\PC{1,40}", secret in "\\PC{0,20}", id in "\\PC{1,20}",
        ) {
            let (token, secret) = (SecretString::from(token), SecretString::from(secret));
            let requested = Scopes::new(["earthengine", "drive"]);
            let grant = Grant::RefreshToken {
                client_id: Some(&id),
                client_secret: Some(&secret),
                refresh_token: &token,
                rapt: None,
                scopes: Some(&requested),
            };
            let (kind, body) = grant.body();
            assert_eq!(kind, "application/x-www-form-urlencoded");
            let sent: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            let auth = "https://www.googleapis.com/auth";
            let scopes = format!("{auth}/earthengine {auth}/drive");
            let said = [
                ("grant_type", "refresh_token"),
                ("client_id", &id),
                ("client_secret", secret.expose_secret()),
                ("refresh_token", token.expose_secret()),
                ("scope", &scopes),
            ];
            assert_eq!(sent, said.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }

        #[test]
        fn gdch_json_round_trips(
            jwt in "[ -~é\u{1}\n]{1,40}", audience in "[ -~]{1,40}",
        ) {
            let assertion = SecretString::from(jwt);
            let grant = Grant::GdchTokenExchange { assertion: &assertion, audience: &audience };
            let (kind, body) = grant.body();
            assert_eq!(kind, "application/json");
            let sent: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(sent["subject_token"], assertion.expose_secret());
            assert_eq!(sent["audience"], audience);
            assert_eq!(sent.as_object().unwrap().len(), 5);
        }

        #[test]
        fn options_are_encoded_twice(project in "[a-z0-9-]{1,20}") {
            let options = format!(r#"{{"userProject":"{project}"}}"#);
            let grant = Grant::TokenExchange {
                audience: "a",
                scopes: &Scopes::default(),
                subject_token: &"t".into(),
                subject_token_type: "t",
                options: Some(&options),
            };
            let (_, body) = grant.body();
            let mut sent = form_urlencoded::parse(body.as_bytes());
            let (_, encoded) = sent.find(|(name, _)| name == "options").unwrap();
            let (decoded, _) = form_urlencoded::parse(encoded.as_bytes()).next().unwrap();
            assert_eq!(decoded, options);
        }
    }
}
