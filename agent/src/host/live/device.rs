//! One IPP request to a printer on the network (RFC 8010 over HTTP/1.1, RFC 7472 over TLS), bounded in time and bytes.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Uri;
use hyper::body::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ipp::{Asked, exchange};

/// How long a printer may take to accept the connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long all of it may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Most bytes of an answer. Why: a printer that tells all it knows needs less than a tenth.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Where a printer's URI leads.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    path: String,
    tls: bool,
}

/// Asks the printer at an `ipp`, `ipps`, `http` or `https` URI. `resolve` turns its name into addresses.
pub(super) fn ask(uri: &str, request: &[u8], resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>>) -> io::Result<Vec<u8>> {
    let begun = Instant::now();
    let place = place(uri)?;
    let addresses: Vec<SocketAddr> =
        resolve(&place.host)?.into_iter().map(|ip| SocketAddr::new(ip, place.port)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left = ANSWER_MAX.saturating_sub(begun.elapsed());
    let answer = runtime.block_on(async {
        tokio::time::timeout(left, converse(&place, &addresses, Bytes::copy_from_slice(request))).await
    });
    answer.unwrap_or_else(|_late| {
        let seconds = ANSWER_MAX.as_secs();
        Err(io::Error::new(ErrorKind::TimedOut, format!("the printer did not answer within {seconds} s")))
    })
}

fn place(uri: &str) -> io::Result<Place> {
    let wrong = || io::Error::new(ErrorKind::InvalidInput, format!("{uri} is no address of a printer that speaks IPP"));
    let parsed: Uri = uri.parse().map_err(|_malformed| wrong())?;
    let (port, tls) = match parsed.scheme_str() {
        Some("ipp") => (631, false),
        Some("ipps") => (631, true),
        Some("http") => (80, false),
        Some("https") => (443, true),
        _ => return Err(wrong()),
    };
    let host = parsed.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let path = parsed.path();
    Ok(Place {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: parsed.port_u16().unwrap_or(port),
        path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        tls,
    })
}

async fn converse(place: &Place, addresses: &[SocketAddr], request: Bytes) -> io::Result<Vec<u8>> {
    let stream = tokio::time::timeout(CONNECT_MAX, TcpStream::connect(addresses)).await.map_err(|_late| {
        let seconds = CONNECT_MAX.as_secs();
        io::Error::new(ErrorKind::TimedOut, format!("port {} took no connection within {seconds} s", place.port))
    })??;
    let named = if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
    let asked = Asked {
        of: "the printer",
        host: &format!("{named}:{}", place.port),
        path: &place.path,
        bytes_max: ANSWER_BYTES_MAX,
    };
    if !place.tls {
        return exchange(stream, request, &asked).await;
    }
    let name =
        ServerName::try_from(place.host.clone()).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let stream = TlsConnector::from(Arc::new(tls()?)).connect(name, stream).await;
    let stream = stream.map_err(|error| io::Error::new(error.kind(), format!("no TLS with the printer: {error}")))?;
    exchange(stream, request, &asked).await
}

fn tls() -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = config.map_err(io::Error::other)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(AnyPrinter(provider))).with_no_client_auth())
}

/// Takes any certificate. Why: printers sign their own, nothing secret is sent, and what is asked for is what the printer shows on its
/// display. That the handshake is signed by the key of that certificate is still checked.
#[derive(Debug)]
struct AnyPrinter(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyPrinter {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "it stands for one that may fail")]
    fn here(_name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![[127, 0, 0, 1].into()])
    }

    /// A printer that reads what it is asked and then does this; its port.
    fn printer(answer: impl FnOnce(TcpStream) + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _peer) = listener.accept().unwrap();
            let _read = stream.read(&mut [0; 4096]).unwrap();
            answer(stream);
        });
        port
    }

    fn fails(answer: impl FnOnce(TcpStream) + Send + 'static) -> ErrorKind {
        let uri = format!("ipp://printer:{}/ipp/print", printer(answer));
        let begun = Instant::now();
        let kind = ask(&uri, b"ask", here).unwrap_err().kind();
        // The slowest of them would take a minute; a busy machine is late.
        assert!(begun.elapsed() < ANSWER_MAX + Duration::from_secs(30));
        kind
    }

    #[test]
    fn a_printer_is_asked_at_its_path() {
        let (told, heard) = std::sync::mpsc::channel();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (mut stream, _peer) = listener.accept().unwrap();
            let (mut request, mut piece) = (Vec::new(), [0; 512]);
            while !request.ends_with(b"ask") {
                let read = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..read]);
            }
            told.send(String::from_utf8(request).unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap();
        });
        assert_eq!(ask(&format!("ipp://printer:{port}/ipp/print"), b"ask", here).unwrap(), b"abc");
        let request = heard.recv().unwrap();
        assert!(request.starts_with("POST /ipp/print HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: printer:{port}\r\n")), "{request}");
    }

    #[test]
    fn garbage_is_invalid_and_too_much_is_too() {
        assert_eq!(fails(|mut stream| drop(stream.write_all(b"garbage garbage\r\n\r\n"))), ErrorKind::InvalidData);
        let endless = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n";
        assert_eq!(fails(|mut stream| drop(stream.write_all(endless))), ErrorKind::InvalidData);
    }

    #[test]
    fn silence_and_a_byte_now_and_then_end_at_the_deadline() {
        let silent = thread::spawn(|| {
            fails(|stream| {
                thread::sleep(ANSWER_MAX * 2);
                drop(stream);
            })
        });
        let slow = fails(|mut stream| {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n".iter().chain(&[b'x'; 60]);
            for byte in head {
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        assert_eq!((slow, silent.join().unwrap()), (ErrorKind::TimedOut, ErrorKind::TimedOut));
    }

    #[test]
    fn a_printer_that_speaks_no_tls_is_an_error() {
        let port = printer(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
        let error = ask(&format!("ipps://printer:{port}/"), b"ask", here).unwrap_err();
        assert!(error.to_string().contains("TLS"), "{error}");
    }

    #[test]
    fn an_answer_over_tls_needs_no_known_certificate() {
        let key = rcgen::generate_simple_self_signed(vec!["BRN001122.local".to_owned()]).unwrap();
        let secret = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![key.cert.der().clone()], secret).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            let (stream, _peer) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream);
            let _read = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc").unwrap();
            stream.flush().unwrap();
        });
        assert_eq!(ask(&format!("ipps://printer:{port}/ipp/print"), b"ask", here).unwrap(), b"abc");
    }

    #[test]
    fn a_uri_says_where_a_printer_is() {
        let ipps = place("ipps://print.example/ipp/print").unwrap();
        assert_eq!((ipps.port, ipps.path.as_str(), ipps.tls), (631, "/ipp/print", true));
        let six = place("http://[2001:db8::9]:8080").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.path.as_str()), ("2001:db8::9", 8080, "/"));
        for wrong in ["socket://192.0.2.9:9100", "ipp://", "usb:/dev/usb/lp0", "", "ipp://a b/"] {
            assert_eq!(place(wrong).unwrap_err().kind(), ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
