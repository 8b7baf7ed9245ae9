//! Whether names are resolved on the way: each name server asked once or twice, the first one's silence being everybody's wait.

use std::net::IpAddr;

use simple_dns::TYPE;

use super::stations::Station;
use super::{Path, Said, failed, ok};
use crate::host::Host;
use crate::probe::Unrun;
use crate::probe::dns::{ask, why_silent};
use crate::probe::step::ms;
use crate::probe::targets::configured;

/// Name servers that are asked.
const SERVERS_MAX: usize = 3;

/// An answer that takes longer is felt. Why not the 100 ms of the probe `dns`: here one server is asked for names that may have to be fetched from far.
const SLOW_MS: u32 = 500;

/// A name of the root, which every server knows or can ask for, where no name of this network is known.
const USUAL: &str = "example";

/// Asks the servers.
pub(super) fn test(path: &mut Path<'_, '_, '_>, stations: &[Station]) -> Result<(), Unrun> {
    let servers = configured::name_servers(path.host);
    let name = stations.iter().find(|station| !station.is_address()).map_or(USUAL, |station| station.host.as_str());
    if servers.is_empty() {
        let said = failed(
            "resolver-dead",
            "no name server is set up",
            "No name server is set up on this machine, so no name can be resolved.",
        );
        path.take("resolver", "", |_host| said)?;
        return Ok(());
    }
    for server in servers.iter().take(SERVERS_MAX) {
        let server = *server;
        if !path.take("resolver", &server.to_string(), |host| asked(host, server, name))? {
            break;
        }
    }
    Ok(())
}

fn asked(host: &dyn Host, server: IpAddr, name: &str) -> Said {
    let mut told = ask(host, server, name, TYPE::A);
    // Why a second time: one datagram may be lost, and the first answer may have had to be fetched.
    if told.as_ref().map_or(true, |(_reply, took)| ms(*took) > SLOW_MS) {
        told = ask(host, server, name, TYPE::A);
    }
    let (reply, took) = match told {
        Ok(told) => told,
        Err(error) => {
            let why = why_silent(&error);
            return failed(
                "resolver-dead",
                &why,
                &format!("The name server {server} does not answer: {why}; names are resolved late or not at all."),
            );
        }
    };
    let took = ms(took);
    match reply.rcode.as_str() {
        _ if took > SLOW_MS => failed(
            "resolver-slow",
            &format!("answers after {took} ms"),
            &format!("The name server {server} answers slowly, after {took} ms, so everything is slow to start."),
        ),
        "NOERROR" | "NXDOMAIN" if name == USUAL => ok("answers"),
        "NOERROR" => ok(&format!("{name} is {}", reply.answers.join(", "))),
        "NXDOMAIN" => failed(
            "resolver-missing",
            &format!("says that there is no {name}"),
            &format!(
                "The name server {server} says that there is no {name}: it does not serve this network, or the name is wrong."
            ),
        ),
        other => failed(
            "resolver-dead",
            &format!("answers {other}"),
            &format!("The name server {server} answers with {other} instead of an address for {name}."),
        ),
    }
}
