//! Enrolled machines.

use anyhow::Result;
use async_trait::async_trait;
use uuid::Uuid;

use super::TokenRefusal;

/// One enrolled machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Device {
    /// Identity given at enrolment; in the certificate.
    pub id: Uuid,
    /// Host name as last heard.
    pub name: String,
    /// Stable identity of the machine, hashed by the agent.
    pub machine: String,
    /// The operating system as last heard.
    pub os: String,
    /// The agent's version as last heard.
    pub agent_version: String,
    /// The boot as last heard.
    pub boot_id: String,
    /// When it was enrolled, server's clock.
    pub enrolled_ms: i64,
    /// When it was last heard of, server's clock; 0 for never.
    pub seen_ms: i64,
    /// Cut off for good.
    pub revoked: bool,
    /// Server's clock minus the device's, milliseconds.
    pub clock_offset_ms: i64,
    /// Readings that the device says it lost before they reached the server.
    pub lost: u64,
}

/// What a machine says of itself when it enrols.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// Host name.
    pub name: String,
    /// Stable identity of the machine.
    pub machine: String,
    /// The agent's version.
    pub agent_version: String,
}

/// A machine that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// Its new identity.
    pub id: Uuid,
    /// The same machine's identity before, if it is known: the machine was enrolled again.
    pub before: Option<Uuid>,
}

/// What a device says of itself when it connects.
#[derive(Clone, Debug, Default)]
pub struct Greeting {
    /// Which record its readings come from.
    pub epoch: u64,
    /// Host name.
    pub name: String,
    /// The operating system.
    pub os: String,
    /// The agent's version.
    pub agent_version: String,
    /// The boot.
    pub boot_id: String,
    /// Server's clock minus the device's, milliseconds.
    pub clock_offset_ms: i64,
    /// Each table that it has, with the hash of its description.
    pub schemas: Vec<(String, u64)>,
}

/// The devices.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Uses up one use of the token with this SHA-256 and makes a device, in one transaction.
    async fn enrol(
        &self,
        secret_sha256: [u8; 32],
        device: NewDevice,
        now_ms: i64,
    ) -> Result<Result<Enrolment, TokenRefusal>>;

    /// One device.
    async fn device(&self, id: Uuid) -> Result<Option<Device>>;

    /// All devices, by name.
    async fn devices(&self) -> Result<Vec<Device>>;

    /// Devices by whole id, by a beginning of it (4 characters at least), or by host name (case does not matter). A whole
    /// id or an exact name that is not revoked comes alone.
    async fn find_devices(&self, text: &str) -> Result<Vec<Device>>;

    /// A session opens: writes down what the device says of itself, and answers the highest number that is durable for
    /// its epoch. It queues behind every write that an older session of the device has already handed in.
    async fn greet(&self, id: Uuid, greeting: Greeting, now_ms: i64) -> Result<u64>;

    /// The device was heard of.
    async fn seen(&self, id: Uuid, now_ms: i64) -> Result<()>;

    /// Cuts a device off for good. Answers whether there was one to cut off.
    async fn revoke_device(&self, id: Uuid, now_ms: i64) -> Result<bool>;

    /// Revocations after a mark, with the mark to ask from next time. Ask with 0 for all of them.
    async fn revocations(&self, after: i64) -> Result<(Vec<Uuid>, i64)>;
}
