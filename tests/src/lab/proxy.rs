//! A real proxy for pages (tinyproxy) within a namespace.

use std::fs;
use std::net::{SocketAddr, TcpStream};

use anyhow::Context;
use tempfile::TempDir;

use super::namespace::Namespace;
use super::process::until;
use crate::running::Running;

/// A proxy. It ends with the one who holds it.
#[derive(Debug)]
pub struct PageProxy {
    _running: Running,
    _folder: TempDir,
}

impl PageProxy {
    /// Starts it at an address, with these lines of tinyproxy.conf(5) besides.
    pub fn start(namespace: &Namespace, at: SocketAddr, settings: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (conf, log) = (folder.path().join("conf"), folder.path().join("log"));
        fs::write(&conf, format!("Listen {}\nPort {}\nTimeout 20\n{settings}\n", at.ip(), at.port()))?;
        let mut command = namespace.command("tinyproxy");
        command.args(["-d", "-c"]).arg(&conf);
        let mut running = Running::start(command, &log)?;
        let connected = namespace.within(|| {
            until("the proxy to listen", || {
                running.must_live().context("tinyproxy")?;
                Ok(TcpStream::connect(at).ok())
            })
        })?;
        drop(connected?);
        Ok(Self { _running: running, _folder: folder })
    }
}
