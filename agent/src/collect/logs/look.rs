//! A look at the latest entries, through the door.

use crate::collect::Rows;
use crate::host::Host;

pub(super) fn look(host: &dyn Host) -> anyhow::Result<Rows> {
    let _ = host.now_ms();
    Ok(Rows::none())
}
