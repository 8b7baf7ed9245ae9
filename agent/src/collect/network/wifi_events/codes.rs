//! Reason codes and status codes of IEEE 802.11-2020, tables 9-49 and 9-50, in words.

const REASONS: [(u32, &str); 24] = [
    (1, "no reason given"),
    (2, "the authentication is no longer valid"),
    (3, "it is leaving the network"),
    (4, "nothing was heard of it for too long"),
    (5, "the access point has too many stations"),
    (6, "it was not authenticated"),
    (7, "it was not associated"),
    (8, "it left the access point"),
    (9, "it was not authenticated before it associated"),
    (13, "an element of the request is not valid"),
    (14, "the integrity check of a frame failed (MIC)"),
    (15, "the 4-way handshake timed out: the password is most likely wrong"),
    (16, "the group key was not renewed in time"),
    (17, "the security offered changed during the handshake"),
    (18, "the group cipher is not accepted"),
    (19, "the cipher is not accepted"),
    (20, "the way of authentication is not accepted"),
    (22, "the security capabilities are not accepted"),
    (23, "the authentication server refused (802.1X)"),
    (24, "the cipher is forbidden by policy"),
    (33, "the access point lacks the bandwidth"),
    (34, "too many frames were lost: the signal is poor"),
    (36, "it left for another access point"),
    (39, "the peer did not answer in time"),
];

const STATUSES: [(u32, &str); 20] = [
    (1, "no reason given"),
    (10, "the capabilities that it asks for are not supported"),
    (11, "the earlier association could not be confirmed"),
    (12, "refused for a reason outside the standard"),
    (13, "the way of authentication is not supported"),
    (14, "a step of the authentication came out of order"),
    (15, "the answer to the challenge was wrong"),
    (16, "the authentication timed out"),
    (17, "the access point has too many stations"),
    (18, "it does not support the rates that the access point demands"),
    (23, "the spectrum management that is demanded is lacking"),
    (27, "802.11n is demanded and lacking"),
    (30, "refused for the moment: try again later"),
    (31, "protected management frames are demanded, or were wrong"),
    (40, "an element of the request is not valid"),
    (43, "the way of authentication is not accepted (AKMP)"),
    (45, "the version of the security element is not supported"),
    (53, "the cached key is not known there (PMKID)"),
    (72, "the password identifier is not known there"),
    (77, "the group of SAE is not supported"),
];

/// What a reason code means; empty where it is not known.
pub(super) fn reason(code: Option<u32>) -> String {
    word(&REASONS, code)
}

/// What a status code means; empty where it is not known.
pub(super) fn status(code: Option<u32>) -> String {
    word(&STATUSES, code)
}

fn word(words: &[(u32, &str)], code: Option<u32>) -> String {
    let known = words.iter().find(|(known, _word)| Some(*known) == code);
    known.map(|(_code, word)| (*word).to_owned()).unwrap_or_default()
}
