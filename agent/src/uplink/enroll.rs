//! First contact: a token becomes an identity. The server is verified before the token's secret is said.

use anyhow::{Context, ensure};
use deskside_proto::v1::EnrollRequest;
use deskside_proto::{first_contact, invite};

use super::identity::{Identity, want};
use super::line::{connect, ending, said};
use super::{Ending, trust};

/// Who asks.
#[derive(Clone, Debug, Default)]
pub struct Applicant {
    /// The machine's host name.
    pub hostname: String,
    /// Stable identity of the machine, hashed.
    pub machine: String,
    /// The agent's version.
    pub agent_version: String,
}

/// Trades the string `dsk1...` for an identity.
pub async fn enroll(token: &str, applicant: Applicant) -> anyhow::Result<Identity> {
    let invite = invite::read(token)?;
    let wanted = want()?;
    let tls = first_contact::tls(&invite.ca_sha256)?;
    let mut client = connect(&invite.addresses, tls).await.map_err(|error| {
        let (Ending::Lost(why) | Ending::Refused(why)) = ending(&error);
        anyhow::anyhow!("the server at {} cannot be reached: {why}", invite.addresses.join(" or "))
    })?;
    let request = EnrollRequest {
        secret: invite.secret,
        csr_der: wanted.csr,
        hostname: applicant.hostname,
        machine: applicant.machine,
        agent_version: applicant.agent_version,
    };
    let reply =
        client.enroll(request).await.map_err(said).context("the server did not enrol this machine")?.into_inner();
    ensure!(
        first_contact::fingerprint(&reply.ca_der) == invite.ca_sha256,
        "the server answered with another CA than its own"
    );
    uuid::Uuid::parse_str(&reply.device_id).context("the server answered without a device's identity")?;
    let identity = Identity {
        device_id: reply.device_id,
        addresses: invite.addresses,
        certificate: reply.certificate_der,
        ca: reply.ca_der,
        key: wanted.key,
    };
    trust::mutual(&identity).context("the server's answer does not fit our key")?;
    Ok(identity)
}
