//! Whether a place shows the certificate that it should: the Deskside server one of its own CA, others one that the machine trusts.

use std::net::{IpAddr, SocketAddr};

use super::stations::Station;
use super::{Said, failed, ok, unknown};
use crate::host::Host;
use crate::probe::reached::CONNECT_MAX;
use crate::probe::tls::{SHAKE_MAX, certificates, day, distrusted, no_tls, only, roots, shake};

/// Shakes hands.
pub(super) fn test(host: &dyn Host, station: &Station, address: IpAddr) -> Said {
    let (name, place) = (station.name, &station.place);
    let own_ca = !station.ca.is_empty();
    let trusted = if own_ca { Ok(only(&station.ca)) } else { roots(host) };
    let trusted = match trusted {
        Ok(trusted) => trusted,
        Err(why) => return unknown(why),
    };
    let opened = host.wire().connect(SocketAddr::new(address, station.port), CONNECT_MAX);
    let mut stream = match opened.and_then(|stream| stream.wait(SHAKE_MAX).map(|()| stream)) {
        Ok(stream) => stream,
        Err(error) => return unknown(error.to_string()),
    };
    // The server's certificates have one name, whatever its address.
    let expected = if own_ca { deskside_proto::SERVER_NAME } else { station.host.as_str() };
    let alpn: &[&[u8]] = if own_ca { &[b"h2"] } else { &[] };
    let shaken = match shake(stream.as_mut(), expected, trusted, alpn) {
        Ok(shaken) => shaken,
        Err(error) => {
            let why = no_tls(&error);
            return failed("no-tls", &why, &format!("{place} is open, but TLS with {name} fails: {why}."));
        }
    };
    let chain = certificates(&shaken);
    let own = chain.first();
    let Some(error) = &shaken.distrust else {
        let until = own.map(|own| format!(", its certificate until {}", day(own.not_after_ms))).unwrap_or_default();
        return ok(&format!("{}{until}", shaken.protocol));
    };
    let (problem, why) = distrusted(error, own, chain.len(), host.now_ms());
    let issuer = own.map(|own| own.issuer.clone()).unwrap_or_default();
    match problem {
        "expired" => {
            failed("expired", &why, &format!("The certificate of {name}, {place}, is no longer valid: {why}."))
        }
        "not-yet-valid" => {
            failed("clock", &why, &format!("The certificate of {name}, {place}, is not valid yet: {why}"))
        }
        "unknown-issuer" | "self-signed" | "wrong-name" if own_ca => failed(
            "intercepted",
            &why,
            &format!(
                "Somebody on the way answers in the place of {name}, {place}: its certificate is signed by {issuer} and not by the server's own CA."
            ),
        ),
        _ => failed("untrusted", &why, &format!("The certificate of {name}, {place}, is not trusted: {why}.")),
    }
}
