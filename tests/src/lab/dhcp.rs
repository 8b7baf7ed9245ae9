//! A real DHCP server (dnsmasq), and a real client (dhclient) that takes a lease of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use super::namespace::Namespace;
use super::process::until;
use crate::running::Running;

/// A lease that is held until this is dropped, and the server that gave it.
#[derive(Debug)]
pub struct Lease {
    folder: TempDir,
    _client: Running,
    _server: Running,
}

impl Lease {
    /// Serves at an interface with these options of dnsmasq(8), and takes a lease at the desk's `eth0`. `wanted` are lines of dhclient.conf(5).
    pub fn taken(
        desk: &Namespace,
        (far, interface): (&Namespace, &str),
        options: &[&str],
        wanted: &str,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let place = |name: &str| folder.path().join(name);
        let mut dnsmasq = far.command("dnsmasq");
        dnsmasq.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"]);
        dnsmasq.args(["--pid-file=", "--port=0", "--bind-interfaces", "--dhcp-authoritative"]);
        dnsmasq.arg(format!("--interface={interface}")).args(options);
        dnsmasq.arg(format!("--dhcp-leasefile={}", place("given").display()));
        let server = Running::start(dnsmasq, &place("dnsmasq.log"))?;
        fs::write(place("script"), script(&place("address")))?;
        fs::set_permissions(place("script"), fs::Permissions::from_mode(0o755))?;
        fs::write(place("conf"), wanted)?;
        let mut dhclient = desk.command("dhclient");
        dhclient.args(["-d", "-4", "-cf"]).arg(place("conf")).arg("-sf").arg(place("script"));
        dhclient.arg("-lf").arg(place("dhclient.eth0.leases")).arg("-pf").arg(place("pid")).arg("eth0");
        let mut client = Running::start(dhclient, &place("dhclient.log"))?;
        until("a lease", || {
            client.must_live().context("dhclient")?;
            Ok(place("address").exists().then_some(()))
        })?;
        Ok(Self { folder, _client: client, _server: server })
    }

    /// A command that runs a program at the desk and finds the lease where dhclient usually keeps it.
    pub fn command(&self, desk: &Namespace, program: &Path) -> Command {
        let enter = format!("mount --bind {} /var/lib/dhcp && exec \"$0\" \"$@\"", self.folder.path().display());
        let mut command = desk.command("unshare");
        command.args(["--mount", "sh", "-c", &enter]).arg(program);
        command
    }
}

/// What dhclient calls when it has a lease. The distribution's own would write the machine's /etc/resolv.conf.
fn script(told: &Path) -> String {
    format!(
        "#!/bin/sh\n[ -n \"$new_ip_address\" ] || exit 0\nip addr replace \"$new_ip_address/24\" dev \"$interface\" \
         valid_lft \"$new_dhcp_lease_time\" preferred_lft \"$new_dhcp_lease_time\"\necho \"$new_ip_address\" > {}\n",
        told.display()
    )
}
