//! TLS: trust roots loaded once and lazily, one configuration for all clients
//! and sockets with the same CA file.
//!
//! The crypto provider is passed explicitly: a process-wide default belongs
//! to the host. Verification is webpki's and asks nobody over the network.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::failure;
use crate::base::error::Error;
use crate::base::process::PerProcess;

/// All authorities of the world fit in far less.
const LARGEST_CA_FILE: u64 = 16 * 1024 * 1024;

/// The TLS configurations for one set of trust roots.
pub(crate) struct Tls {
    /// Offers HTTP/2 and HTTP/1.1.
    pub(crate) any_http: Arc<ClientConfig>,
    /// Offers HTTP/1.1 only: orders and WebSockets.
    pub(crate) http1: Arc<ClientConfig>,
}

/// The trust roots that a client asks for: the system's, and the
/// certificates of its CA file.
pub(crate) struct Wanted {
    extra: Vec<CertificateDer<'static>>,
}

static CACHE: PerProcess<Cache> = PerProcess::new();

/// What has been loaded in this process.
#[derive(Default)]
struct Cache {
    roots: OnceLock<Arc<RootCertStore>>,
    made: Mutex<Vec<(Vec<CertificateDer<'static>>, Weak<Tls>)>>,
    /// Kept for ever: the configuration without a CA file, which nearly
    /// every client uses.
    plain: OnceLock<Arc<Tls>>,
}

impl Wanted {
    pub(crate) fn read(ca_file: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = ca_file else {
            return Ok(Self { extra: Vec::new() });
        };
        let wrong = |problem: String| Error::argument("config.ca_file", problem);
        let unreadable = |error: io::Error| wrong(format!("cannot be read: {error}"));
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if found.is_dir() {
            return Err(wrong("is a folder; it must be a file (PEM)".to_owned()));
        }
        // A pipe would block, a device might never end.
        if !found.is_file() || found.len() > LARGEST_CA_FILE {
            return Err(wrong("is no regular file of at most 16 MiB".to_owned()));
        }
        let pem = std::fs::read(path).map_err(unreadable)?;
        // The reader of PEM knows no mark before the first line, and would pass it over.
        let pem = pem.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&pem);
        let mut extra = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(format!("is no PEM file: {error}")))?;
        let begun = memchr::memmem::find_iter(pem, b"-----BEGIN CERTIFICATE-----").count();
        if extra.is_empty() || extra.len() < begun {
            return Err(wrong(unread(pem, begun, extra.len())));
        }
        let mut store = RootCertStore::empty();
        for certificate in &extra {
            store
                .add(certificate.clone())
                .map_err(|error| wrong(format!("has a certificate that is not valid: {error}")))?;
        }
        extra.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
        extra.dedup();
        Ok(Self { extra })
    }

    pub(crate) fn get(&self) -> Result<Arc<Tls>, rustls::Error> {
        let cache = CACHE.get();
        if self.extra.is_empty() {
            if let Some(made) = cache.plain.get() {
                return Ok(Arc::clone(made));
            }
            let made = Arc::new(Tls::new(Arc::clone(cache.roots()))?);
            return Ok(Arc::clone(cache.plain.get_or_init(|| made)));
        }
        let mut all = cache.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, made)| made.strong_count() > 0);
        let found = all.iter().find(|(extra, _)| *extra == self.extra);
        if let Some(made) = found.and_then(|(_, made)| made.upgrade()) {
            return Ok(made);
        }
        let mut roots = RootCertStore::clone(cache.roots());
        roots.add_parsable_certificates(self.extra.iter().cloned());
        let made = Arc::new(Tls::new(Arc::new(roots))?);
        all.push((self.extra.clone(), Arc::downgrade(&made)));
        Ok(made)
    }
}

/// What a file is instead that has no certificate in it, or not all that it seems to.
fn unread(file: &[u8], begun: usize, read: usize) -> String {
    let has = |words: &str| memchr::memmem::find(file, words.as_bytes()).is_some();
    let problem = match file {
        [] => "is empty",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16; save it as UTF-8",
        [0x30, 0x80..=0xff, ..] => {
            "is binary (DER) and must be PEM; openssl x509 -inform der -in FILE -out FILE.pem \
             makes one of a certificate"
        }
        _ if begun > 0 => {
            return format!(
                "has {begun} certificates (PEM), and only {read} can be read: -----BEGIN must be \
                 the first on its line"
            );
        }
        _ if has("BEGIN CERTIFICATE") => {
            "has no certificate in it (PEM): BEGIN CERTIFICATE must stand between five dashes of \
             ASCII each"
        }
        _ if has("PRIVATE KEY") => "has a private key in it and no certificate (PEM)",
        _ => "has no certificate in it (PEM)",
    };
    problem.to_owned()
}

impl Cache {
    fn roots(&self) -> &Arc<RootCertStore> {
        self.roots.get_or_init(|| Arc::new(load_roots()))
    }
}

/// The system's roots, or the compiled-in ones where there are none.
fn load_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(system_roots());
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn system_roots() -> Vec<CertificateDer<'static>> {
    // The bundle file says it all; the folder beside it holds the same
    // certificates once more, one file each, and costs a hundred opens.
    if let Some(bundle) = openssl_probe::probe().cert_file {
        let found = rustls_native_certs::load_certs_from_paths(Some(&bundle), None).certs;
        if !found.is_empty() {
            return found;
        }
    }
    rustls_native_certs::load_native_certs().certs
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn system_roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

impl Tls {
    fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let provider = CryptoProvider {
            key_provider: &NoKeys,
            ..rustls::crypto::ring::default_provider()
        };
        let mut any_http = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        any_http.enable_early_data = false;
        let mut http1 = any_http.clone();
        any_http.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            any_http: Arc::new(any_http),
            http1: Arc::new(http1),
        })
    }
}

/// Takes the place of the code that signs with private keys: we have none.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(
        &self,
        _: PrivateKeyDer<'static>,
    ) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General(
            "no private keys are used".to_owned(),
        ))
    }
}

/// What is wrong with the certificate of `host`, if that is what failed.
pub(crate) fn explain(host: &str, error: &(dyn StdError + 'static)) -> Option<String> {
    let tls = failure::find(error)?;
    let rustls::Error::InvalidCertificate(reason) = tls else {
        return Some(format!("TLS with {host} failed: {tls}"));
    };
    let what = match reason {
        CertificateError::UnknownIssuer => {
            "is signed by an authority that is not trusted here (wrong or missing ca_file?)"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired (or the clock of this machine is wrong)"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet (or the clock of this machine is wrong)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another host name"
        }
        other => {
            return Some(format!(
                "the certificate of {host} is not accepted: {other}"
            ));
        }
    };
    Some(format!("the certificate of {host} {what}"))
}

#[cfg(test)]
mod tests {
    use kotak_neo_testing::folder::Folder;

    use super::*;

    #[test]
    fn a_wrong_ca_file_is_told_at_once() {
        let folder = Folder::new("ca");
        let path = folder.path("ca.pem");
        let problem = |text: &str| {
            std::fs::write(&path, text).expect("the file can be written");
            let error = Wanted::read(Some(&path)).err().expect("it is wrong");
            error.message().to_owned()
        };
        assert!(problem("").contains("is empty"));
        assert!(problem("hello").contains("has no certificate in it"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(problem(cut).contains("is no PEM file"), "{}", problem(cut));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(problem(empty).contains("is not valid"));
        std::fs::remove_file(&path).expect("it is there");
        let error = Wanted::read(Some(&path)).err().expect("it is gone");
        assert!(
            error
                .message()
                .starts_with("config.ca_file: cannot be read")
        );
    }

    #[test]
    fn clients_share_one_configuration() {
        let wanted = Wanted::read(None).expect("no file, no problem");
        let first = wanted.get().expect("the defaults are valid");
        assert!(Arc::ptr_eq(
            &first,
            &wanted.get().expect("the defaults are valid")
        ));
        assert!(!first.any_http.enable_early_data && !first.http1.enable_early_data);
    }

    #[test]
    fn finds_the_cause_through_io_errors() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let outer = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let text = explain("h", &outer).expect("there is a TLS error in it");
        assert!(text.contains("has expired"), "{text}");
        assert!(explain("h", &io::Error::other("x")).is_none());
    }
}
