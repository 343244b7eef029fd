//! Which certificates are trusted.
//!
//! The platform decides, by its own verifier where it has one (Windows, macOS) and by its certificate files elsewhere,
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` heeded. Where there are none at all, as in a container without
//! `ca-certificates`, Mozilla's list compiled in is used. `--ca` adds to either.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use wharfie_core::client::Tls;
use wharfie_core::error::{ErrorKind, Result};

use super::certs::HostCerts;
use crate::fault::io_error;

/// The trusted certificates.
#[derive(Debug)]
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    /// Those of `--ca`.
    extra: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Reads the files of `--ca`.
    ///
    /// # Errors
    /// `local_io`, `permission_denied`; `invalid_option` for a file without certificates.
    pub(super) fn read(files: &[PathBuf]) -> Result<Trust> {
        let mut extra = Vec::new();
        for path in files {
            let before = extra.len();
            let invalid = |reason: &str| {
                let reason = format!("--ca {}: {reason}", path.display());
                wharfie_core::Error::from(ErrorKind::InvalidOption { reason })
            };
            let bytes =
                std::fs::read(path).map_err(|error| io_error("reading certificates", Some(path), &error))?;
            for certificate in CertificateDer::pem_slice_iter(&bytes) {
                extra.push(certificate.map_err(|error: pem::Error| invalid(&error.to_string()))?);
            }
            let mut check = RootCertStore::empty();
            for certificate in &extra[before..] {
                check.add(certificate.clone()).map_err(|error| invalid(&error.to_string()))?;
            }
            if check.is_empty() {
                return Err(invalid("it holds no certificate in PEM form"));
            }
        }
        Ok(Trust { provider: Arc::new(ring::default_provider()), extra })
    }

    /// For connections that check certificates so far.
    pub(super) fn config(&self, tls: Tls, host: Option<&HostCerts>) -> Result<ClientConfig, rustls::Error> {
        let mut extra = self.extra.clone();
        extra.extend(host.into_iter().flat_map(|host| host.roots.iter().cloned()));
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match tls {
            Tls::Verify => match Verifier::new(self.provider.clone()) {
                Ok(_) if !extra.is_empty() => {
                    let verifier = Verifier::new_with_extra_roots(extra, self.provider.clone())?;
                    builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
                }
                Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
                Err(_) => {
                    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                    roots.add_parsable_certificates(extra);
                    builder.with_root_certificates(roots)
                }
            },
            Tls::AcceptAny => {
                let verifier = Arc::new(AcceptAny(self.provider.clone()));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let identity = host.and_then(|host| host.identity.as_ref());
        let mut config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// For registries that the user calls insecure: any certificate, but the one that the other end holds the key of.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
