//! TLS of the sandbox: a certificate authority of its own, made afresh at every start.
//!
//! The private keys never leave the process. The two CA certificates are written to a
//! private directory, which is removed with the sandbox.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::random;

/// What certificate the sandbox shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain HTTP.
    #[default]
    Off,
    /// A certificate for `localhost`, `127.0.0.1` and `::1`, signed by [`Sandbox::ca_file`].
    ///
    /// [`Sandbox::ca_file`]: crate::Sandbox::ca_file
    Valid,
    /// The same, but it expired years ago.
    Expired,
    /// Signed and in date, but for another host.
    WrongHost,
}

/// The server's TLS side and the files that clients need.
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) files: CaFiles,
}

/// The two CA certificates on disk; the directory goes when this is dropped.
#[derive(Debug)]
pub(crate) struct CaFiles {
    dir: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) other_ca: PathBuf,
}

impl Drop for CaFiles {
    fn drop(&mut self) {
        // Nothing useful can be done if someone else has removed the directory already.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes the authorities and the server certificate; `None` for plain HTTP.
pub(crate) fn prepare(mode: TlsMode, http2: bool) -> io::Result<Option<Tls>> {
    if mode == TlsMode::Off {
        return Ok(None);
    }
    let (ca_pem, issuer) = authority("Kotak Neo sandbox CA").map_err(io::Error::other)?;
    let (other_pem, _) = authority("Another CA").map_err(io::Error::other)?;
    let (chain, key) = leaf(mode, &issuer).map_err(io::Error::other)?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![chain.der().clone()], key)
        })
        .map_err(io::Error::other)?;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };

    let dir = private_dir()?;
    // From here on the directory is removed whatever happens.
    let files = CaFiles {
        ca: dir.join("ca.pem"),
        other_ca: dir.join("other-ca.pem"),
        dir,
    };
    fs::write(&files.ca, ca_pem)?;
    fs::write(&files.other_ca, other_pem)?;
    Ok(Some(Tls {
        config: Arc::new(config),
        files,
    }))
}

fn authority(name: &str) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = params.self_signed(&key)?.pem();
    Ok((pem, Issuer::new(params, key)))
}

fn leaf(
    mode: TlsMode,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<(rcgen::Certificate, PrivateKeyDer<'static>), rcgen::Error> {
    let names: &[&str] = match mode {
        TlsMode::WrongHost => &["broker.invalid"],
        // The broker's names too: a proxy in a test may lead them here.
        _ => &[
            "localhost",
            "127.0.0.1",
            "::1",
            "*.kotaksecurities.com",
            "*.kotaksecurities.online",
        ],
    };
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    )?;
    params.distinguished_name.push(DnType::CommonName, names[0]);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    if mode == TlsMode::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    let certificate = params.signed_by(&key, issuer)?;
    Ok((
        certificate,
        PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    ))
}

/// A directory that only this user may enter.
fn private_dir() -> io::Result<PathBuf> {
    let dir: &Path = &std::env::temp_dir();
    let dir = dir.join(format!("kotak-neo-sandbox-{}", random::hex(8)));
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&dir)?;
    Ok(dir)
}
