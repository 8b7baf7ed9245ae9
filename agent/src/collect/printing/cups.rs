//! Questions to the machine's print server, CUPS, and its answers (RFC 8010, RFC 8011).
//!
//! Why the frame is read here and not by the crate's parser: the print server is another program, and one odd value among a
//! thousand queues must cost that value, not the answer; nor may nested collections or a wrong length cost the agent its life.

use std::io;

use anyhow::{Context, ensure};
use data_encoding::HEXLOWER_PERMISSIVE;
use ipp::IppHeader;
use ipp::attribute::{IppAttribute, IppAttributeGroup};
use ipp::model::{DelimiterTag, IppVersion, Operation, StatusCode, ValueTag};
use ipp::request::IppRequestResponse;
use ipp::value::{IppKeyword, IppName, IppString, IppValue};
use prost::bytes::{Buf, Bytes};

use crate::host::Host;

/// Most values read from one answer. Why: 1,000 queues with 20 attributes each stay well below it.
const VALUES_MAX: usize = 100_000;

/// Most objects (queues or jobs) asked for at once.
pub(super) const OBJECTS_MAX: usize = 1_000;

/// Status of an answer that found no such object: for CUPS, also "there is none at all".
const NOT_FOUND: i16 = 0x0406;

/// One object of an answer: a queue or a job.
pub(super) struct Described(IppAttributeGroup);

/// Asks, and returns the described objects. A machine without a print server answers `NotFound`.
pub(super) fn ask(
    host: &dyn Host,
    operation: Operation,
    objects: DelimiterTag,
    details: &[(&str, IppValue)],
) -> anyhow::Result<Vec<Described>> {
    let answer = host.ipp(&question(operation, details)?).context("asking the print server (CUPS)")?;
    read(&answer, objects).context("the print server's answer")
}

/// Asks for a document: what follows the message that answers.
pub(super) fn ask_document(
    host: &dyn Host,
    operation: Operation,
    details: &[(&str, IppValue)],
) -> anyhow::Result<Bytes> {
    let answer = host.ipp(&question(operation, details)?).context("asking the print server (CUPS)")?;
    let (status, groups, document) = open(&answer).context("the print server's answer")?;
    refused(status, &groups)?;
    Ok(document)
}

/// A list of attribute names, for `requested-attributes`.
pub(super) fn keywords(names: &[&str]) -> anyhow::Result<IppValue> {
    let names = names.iter().map(|name| Ok(IppValue::Keyword(IppKeyword::new(*name)?)));
    Ok(IppValue::Array(names.collect::<anyhow::Result<_>>()?))
}

/// One keyword.
pub(super) fn keyword(name: &str) -> anyhow::Result<IppValue> {
    Ok(IppValue::Keyword(IppKeyword::new(name)?))
}

/// One URI.
pub(super) fn uri(uri: &str) -> anyhow::Result<IppValue> {
    Ok(IppValue::Uri(IppString::new(uri)?))
}

/// The URI of a queue, odd characters written as `%` and two hex digits.
pub(super) fn queue_uri(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    format!("ipp://localhost/printers/{}", name.bytes().map(escaped).collect::<String>())
}

/// The queue's name: the last part of its URI.
pub(super) fn queue_of(uri: &str) -> String {
    decoded(uri.rsplit('/').next().unwrap_or_default())
}

/// A text of a URI, in which odd characters are written as `%` and two hex digits (RFC 3986, 2.1).
pub(super) fn decoded(text: &str) -> String {
    let (mut rest, mut plain) = (text.as_bytes(), Vec::with_capacity(text.len()));
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte = digits.and_then(|(digits, left)| Some((HEXLOWER_PERMISSIVE.decode(digits).ok()?, left)));
        let (bytes, left) = byte.unwrap_or_else(|| (vec![*first], after));
        plain.extend(bytes);
        rest = left;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// One question as it goes over the wire.
pub(super) fn question(operation: Operation, details: &[(&str, IppValue)]) -> anyhow::Result<Bytes> {
    let mut request = IppRequestResponse::new(IppVersion::v2_0(), operation, None)?;
    for (name, value) in details {
        let attribute = IppAttribute::new(IppName::new(*name)?, value.clone());
        request.attributes_mut().add(DelimiterTag::OperationAttributes, attribute);
    }
    Ok(request.to_bytes())
}

/// What a printer says of itself in answer to Get-Printer-Attributes.
pub(super) fn read_device(answer: &[u8]) -> anyhow::Result<Described> {
    let (status, groups, _document) = open(answer)?;
    ensure!((0..0x0100).contains(&status), "it refuses: {} (0x{status:04x})", named(status));
    let described = groups.into_iter().find(|group| group.tag() == DelimiterTag::PrinterAttributes).map(Described);
    described.context("the answer does not describe a printer")
}

fn read(answer: &[u8], objects: DelimiterTag) -> anyhow::Result<Vec<Described>> {
    let (status, groups, _document) = open(answer)?;
    if status == NOT_FOUND {
        return Ok(Vec::new());
    }
    refused(status, &groups)?;
    let described = groups.into_iter().filter(|group| group.tag() == objects).take(OBJECTS_MAX).map(Described);
    Ok(described.collect())
}

/// Status, groups of attributes, and what follows the message.
fn open(answer: &[u8]) -> anyhow::Result<(i16, Vec<IppAttributeGroup>, Bytes)> {
    let mut rest = Bytes::copy_from_slice(answer);
    ensure!(rest.len() > 8, "{} bytes are no IPP message", rest.len());
    let version = rest.get_u8();
    rest.advance(1);
    let status = rest.get_i16();
    rest.advance(4);
    ensure!((1..=2).contains(&version), "not IPP: version {version}");
    let groups = groups(&mut rest)?;
    Ok((status, groups, rest))
}

/// A status in the words of RFC 8011.
fn named(status: i16) -> StatusCode {
    IppHeader::new(IppVersion::v2_0(), status, 0).status_code()
}

fn refused(status: i16, groups: &[IppAttributeGroup]) -> anyhow::Result<()> {
    // Why: all of 0x00xx is success (RFC 8011, 4.1.6); the crate knows three of them.
    if (0..0x0100).contains(&status) {
        return Ok(());
    }
    let said = groups.iter().find_map(|group| group.get(IppAttribute::STATUS_MESSAGE));
    let said = said.and_then(|attribute| text(attribute.value())).unwrap_or_default();
    let known = named(status);
    let message = format!("CUPS refuses: {known} (0x{status:04x}) {said}").trim().to_owned();
    let kind = match known {
        StatusCode::ClientErrorForbidden
        | StatusCode::ClientErrorNotAuthenticated
        | StatusCode::ClientErrorNotAuthorized => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    let advice = "allow the agent's user this operation in cupsd.conf, <Policy default>";
    let error = anyhow::Error::new(io::Error::new(kind, message));
    Err(if kind == io::ErrorKind::PermissionDenied { error.context(advice) } else { error })
}

/// The groups of attributes of a message, without collections: no table needs one.
fn groups(rest: &mut Bytes) -> anyhow::Result<Vec<IppAttributeGroup>> {
    let mut groups: Vec<IppAttributeGroup> = Vec::new();
    let mut collections = 0_usize;
    for _value in 0..VALUES_MAX {
        let tag = rest.try_get_u8().context("it ends early")?;
        if tag < 0x10 {
            let Some(delimiter) = delimiter(tag)? else { return Ok(groups) };
            groups.push(IppAttributeGroup::new(delimiter));
            collections = 0;
            continue;
        }
        let name = counted(rest)?;
        let value = counted(rest)?;
        if tag == ValueTag::BegCollection as u8 {
            collections += 1;
        } else if tag == ValueTag::EndCollection as u8 {
            collections = collections.saturating_sub(1);
        } else if collections == 0 {
            let group = groups.last_mut().context("a value before any group")?;
            add(group.attributes_mut(), &name, value_of(tag, value));
        }
    }
    anyhow::bail!("more than {VALUES_MAX} values")
}

/// What a tag begins; absent at the end of the message.
fn delimiter(tag: u8) -> anyhow::Result<Option<DelimiterTag>> {
    Ok(Some(match tag {
        0x01 => DelimiterTag::OperationAttributes,
        0x02 => DelimiterTag::JobAttributes,
        0x03 => return Ok(None),
        0x04 => DelimiterTag::PrinterAttributes,
        0x05..=0x0f => DelimiterTag::UnsupportedAttributes,
        _ => anyhow::bail!("unknown delimiter 0x{tag:02x}"),
    }))
}

/// A two-byte length, and as many bytes.
fn counted(rest: &mut Bytes) -> anyhow::Result<Bytes> {
    let length = usize::from(rest.try_get_u16().context("it ends early")?);
    ensure!(length <= rest.len(), "it ends early: {length} bytes of a value were promised, {} are left", rest.len());
    Ok(rest.split_to(length))
}

/// A value, or "no value" where the bytes do not fit their tag.
fn value_of(tag: u8, mut bytes: Bytes) -> IppValue {
    let with_language = tag == ValueTag::TextWithLanguage as u8 || tag == ValueTag::NameWithLanguage as u8;
    if with_language {
        // Why not the crate's: it trusts the inner lengths. The language itself is of no use here.
        let inner = counted(&mut bytes).and_then(|_language| counted(&mut bytes));
        return inner.map_or(IppValue::NoValue, |text| value_of(ValueTag::TextWithoutLanguage as u8, text));
    }
    IppValue::parse(tag, bytes).unwrap_or(IppValue::NoValue)
}

/// Adds a value; one without a name belongs to the attribute before it.
fn add(attributes: &mut Vec<IppAttribute>, name: &[u8], value: IppValue) {
    if !name.is_empty() {
        let name = IppName::from_bytes(name).unwrap_or_else(|| IppName::new_truncated(""));
        attributes.push(IppAttribute::new(name, value));
        return;
    }
    let Some(last) = attributes.pop() else { return };
    let name = last.name().clone();
    let mut values = match last.into_value() {
        IppValue::Array(values) => values,
        first => vec![first],
    };
    values.push(value);
    attributes.push(IppAttribute::new(name, IppValue::Array(values)));
}

#[allow(clippy::match_same_arms, reason = "the arms hold different types")]
fn text(value: &IppValue) -> Option<String> {
    Some(match value {
        IppValue::TextWithoutLanguage(text) => text.to_string(),
        IppValue::NameWithoutLanguage(name) => name.to_string(),
        IppValue::Keyword(word) => word.to_string(),
        IppValue::Uri(uri) => uri.to_string(),
        IppValue::MimeMediaType(kind) => kind.to_string(),
        IppValue::OctetString(data) | IppValue::NonUtf8 { data, .. } => String::from_utf8_lossy(data).into_owned(),
        IppValue::Array(values) => return values.first().and_then(text),
        _ => return None,
    })
}

impl Described {
    /// A text; empty where it is absent.
    pub(super) fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(|attribute| text(attribute.value())).unwrap_or_default()
    }

    /// All values of a list of texts.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        self.values(name).iter().filter_map(text).collect()
    }

    /// A list of reasons, without the word that says there is none.
    pub(super) fn reasons(&self, name: &str) -> Vec<String> {
        let mut reasons = self.texts(name);
        reasons.retain(|reason| reason != "none");
        reasons
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        self.numbers(name).into_iter().next()
    }

    /// All values of a list of whole numbers.
    pub(super) fn numbers(&self, name: &str) -> Vec<i32> {
        let number = |value: &IppValue| match value {
            IppValue::Integer(number) | IppValue::Enum(number) => Some(*number),
            _ => None,
        };
        self.values(name).iter().filter_map(number).collect()
    }

    /// A count; a negative one is none.
    pub(super) fn count(&self, name: &str) -> Option<u32> {
        self.number(name).and_then(|number| u32::try_from(number).ok())
    }

    /// Yes or no; absent is no.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_if_told(name).unwrap_or_default()
    }

    /// Yes, no, or not told.
    pub(super) fn flag_if_told(&self, name: &str) -> Option<bool> {
        match self.values(name).first() {
            Some(IppValue::Boolean(value)) => Some(*value),
            _ => None,
        }
    }

    /// A time. CUPS counts all of them in seconds since 1970.
    pub(super) fn time_ms(&self, name: &str) -> Option<i64> {
        self.number(name).filter(|seconds| *seconds > 0).map(|seconds| i64::from(seconds) * 1000)
    }

    fn values(&self, name: &str) -> &[IppValue] {
        match self.0.get(name).map(IppAttribute::value) {
            Some(IppValue::Array(values)) => values,
            Some(value) => std::slice::from_ref(value),
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: [u8; 8] = [2, 0, 0, 0, 0, 0, 0, 1];

    fn value(tag: u8, name: &str, bytes: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let (name, tag) = (name.as_bytes(), [tag]);
        [tag.as_slice(), &length(name), name, &length(bytes), bytes].concat()
    }

    fn printers(parts: &[Vec<u8>]) -> anyhow::Result<Vec<Described>> {
        let answer = [HEAD.as_slice(), &[4], &parts.concat(), &[3]].concat();
        read(&answer, DelimiterTag::PrinterAttributes)
    }

    fn refusal(status: u16) -> anyhow::Error {
        let [high, low] = status.to_be_bytes();
        let said = value(0x41, "status-message", b"no");
        let answer = [[2, 0, high, low, 0, 0, 0, 1, 1].as_slice(), &said, &[3]].concat();
        read(&answer, DelimiterTag::PrinterAttributes).err().unwrap()
    }

    #[test]
    fn one_odd_value_costs_itself_and_not_the_answer() {
        let found = printers(&[
            value(0x42, "printer-name", b"front-office"),
            value(0x21, "queued-job-count", b"?"),
            value(0x41, "printer-info", &[b'x'; 5000]),
            value(0x36, "printer-location", &[0, 200, b'e', b'n']),
            value(0x35, "printer-state-message", &[&[0, 2, b'e', b'n', 0, 4][..], b"Jam!"].concat()),
            value(0x44, "printer-state-reasons", b"none"),
            value(0x44, "", b"marker-waste-almost-full-warnin"),
        ])
        .unwrap();
        let [queue] = found.as_slice() else { panic!("one queue") };
        assert_eq!(queue.text("printer-name"), "front-office");
        assert_eq!(queue.count("queued-job-count"), None);
        assert_eq!(queue.text("printer-info"), "");
        assert_eq!(queue.text("printer-location"), "");
        assert_eq!(queue.text("printer-state-message"), "Jam!");
        assert_eq!(queue.reasons("printer-state-reasons"), ["marker-waste-almost-full-warnin"]);
    }

    #[test]
    fn collections_however_deep_are_passed_over() {
        let mut parts = vec![value(0x34, "media-col-default", b"")];
        parts.extend(vec![value(0x34, "", b""); 20_000]);
        parts.push(value(0x44, "", b"inner"));
        parts.extend(vec![value(0x37, "", b""); 20_001]);
        parts.push(value(0x42, "printer-name", b"deep"));
        assert_eq!(printers(&parts).unwrap()[0].text("printer-name"), "deep");
    }

    #[test]
    fn text_that_is_not_utf8_is_marked() {
        let found = printers(&[value(0x41, "printer-info", b"B\xfcro")]).unwrap();
        assert_eq!(found[0].text("printer-info"), "B\u{fffd}ro");
    }

    #[test]
    fn a_refusal_tells_what_is_needed_and_is_denied() {
        let denied = refusal(0x0403);
        assert_eq!(crate::collect::outcome_of(&denied), deskside_proto::v1::Outcome::Denied);
        assert!(format!("{denied:#}").contains("cupsd.conf"), "{denied:#}");
        let busy = refusal(0x0507);
        assert_eq!(crate::collect::outcome_of(&busy), deskside_proto::v1::Outcome::Failed);
        assert!(format!("{busy:#}").contains("0x0507"), "{busy:#}");
    }

    #[test]
    fn nothing_found_is_no_objects() {
        assert!(read(&[2, 0, 4, 6, 0, 0, 0, 1, 3], DelimiterTag::PrinterAttributes).unwrap().is_empty());
    }

    #[test]
    fn a_value_before_any_group_and_an_early_end_are_refused() {
        let loose = [HEAD.as_slice(), &value(0x21, "a", &[0; 4]), &[3]].concat();
        assert!(read(&loose, DelimiterTag::PrinterAttributes).is_err());
        let whole = [HEAD.as_slice(), &[4], &value(0x42, "printer-name", b"q"), &[3]].concat();
        for end in 0..whole.len() {
            assert!(read(&whole[..end], DelimiterTag::PrinterAttributes).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_queue_is_named_as_people_named_it() {
        assert_eq!(queue_of("ipp://localhost/printers/front-office"), "front-office");
        assert_eq!(queue_of("ipp://localhost/printers/B%C3%BCro%5f1"), "Büro_1");
        assert_eq!(queue_of("ipp://localhost/printers/100%"), "100%");
        assert_eq!(queue_uri("Büro_1"), "ipp://localhost/printers/B%C3%BCro_1");
        assert_eq!(queue_of("ipp://localhost/printers/%zz%c"), "%zz%c");
        assert_eq!(queue_of(""), "");
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let answer = [HEAD.as_slice(), &[4], &bytes].concat();
            drop(read(&answer, DelimiterTag::PrinterAttributes));
        }

        #[test]
        fn no_value_breaks_it(tag in 0x10_u8..0x80, bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(printers(&[value(tag, "printer-name", &bytes)]).is_ok());
        }
    }
}
