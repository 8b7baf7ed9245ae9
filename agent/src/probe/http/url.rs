//! The address of a page: where it is, and how it is asked for.

use hyper::http::Uri;
use hyper::http::uri::Scheme;

use crate::probe::targets::place::{Place, joined};

/// Longest address.
const URL_BYTES_MAX: usize = 2_048;

/// A page by HTTP or HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::probe) struct Url {
    pub(in crate::probe) secure: bool,
    /// Name or address.
    pub(in crate::probe) host: String,
    pub(in crate::probe) port: u16,
    /// Path and query.
    pub(in crate::probe) path: String,
}

impl Url {
    /// Reads an address; a login in it is refused, since it would be kept.
    pub(in crate::probe) fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no address of a page: {why}");
        if text.len() > URL_BYTES_MAX {
            return Err("the address of the page is too long".into());
        }
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|_unread| wrong("it is written \"https://intranet.example/\""))?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(wrong("it begins with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err("an address with a login in it is not asked for".into());
        }
        let host = Place::read(authority.host())?.to_string();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { secure, host, port, path: path.to_owned() })
    }

    /// Where a redirect from here leads (RFC 9110, 10.2.2).
    pub(in crate::probe) fn follow(&self, location: &str) -> Result<Self, String> {
        let scheme = if self.secure { "https" } else { "http" };
        if let Some(rest) = location.strip_prefix("//") {
            return Self::read(&format!("{scheme}://{rest}"));
        }
        if location.starts_with('/') {
            return Self::read(&format!("{scheme}://{}{location}", self.authority()));
        }
        if location.contains("://") {
            return Self::read(location);
        }
        let folder =
            self.path.split('?').next().unwrap_or_default().rsplit_once('/').map_or("", |(folder, _page)| folder);
        Self::read(&format!("{scheme}://{}{folder}/{location}", self.authority()))
    }

    /// Host and port, the port only where it is not the usual one.
    pub(in crate::probe) fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        let whole = self.place();
        if self.port == usual { whole.strip_suffix(&format!(":{usual}")).unwrap_or(&whole).to_owned() } else { whole }
    }

    /// Host and port.
    pub(in crate::probe) fn place(&self) -> String {
        joined(&self.host, self.port)
    }

    /// The whole.
    pub(in crate::probe) fn text(&self) -> String {
        format!("{}://{}{}", if self.secure { "https" } else { "http" }, self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_are_read_and_redirects_followed() {
        let page = Url::read("https://Intranet.Example/a/b?c=d#e").unwrap();
        assert_eq!((page.host.as_str(), page.port, page.path.as_str()), ("intranet.example", 443, "/a/b?c=d"));
        for (location, text) in [
            ("/x", "https://intranet.example/x"),
            ("x", "https://intranet.example/a/x"),
            ("//other.example/x", "https://other.example/x"),
            ("http://other.example:8080/x", "http://other.example:8080/x"),
        ] {
            assert_eq!(page.follow(location).unwrap().text(), text);
        }
        assert_eq!(Url::read("http://[2001:db8::7]:8080/").unwrap().place(), "[2001:db8::7]:8080");
        for wrong in [
            "intranet.example",
            "ftp://a.example/",
            "http:///",
            "http://anna:x@a.example/",
            "http://010.0.0.1/",
            "http://a.example\n/",
            "",
        ] {
            assert!(Url::read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_breaks_it(text in "(https?://)?[\\PC]{0,60}", location in "[\\PC]{0,60}") {
            if let Ok(url) = Url::read(&text) {
                let _next = url.follow(&location).is_ok();
            }
        }
    }
}
