//! Whom a question is put to: a device, the fleet, a ticket's evidence, or a bundle in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use deskside_proto::v1::query_request::Scope;
use deskside_proto::v1::{Fleet, Query, QueryRequest};
use jiff::tz::TimeZone;

use super::asking::Asker;
use super::bundle_source;
use crate::cli::trouble::Trouble;
use crate::cli::{config, connect, when};

/// Whom to ask, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(in crate::cli) struct Whom {
    /// All devices, by what the server knows of them; tables have the column `device` first.
    #[arg(long, conflicts_with_all = ["case", "file"], help_heading = "Whom to ask")]
    pub(in crate::cli) fleet: bool,
    /// Of the fleet only devices of which this holds, in SQL over `devices`: "os LIKE 'Debian%' AND connected".
    #[arg(long = "where", requires = "fleet", value_name = "COND", help_heading = "Whom to ask")]
    condition: Option<String>,
    /// Ask every connected device of the fleet itself; each answers alone, and nothing is joined or summed across devices.
    #[arg(long, requires = "fleet", help_heading = "Whom to ask")]
    live: bool,
    /// The evidence of this ticket.
    #[arg(long, value_name = "TICKET", conflicts_with = "file", help_heading = "Whom to ask")]
    pub(in crate::cli) case: Option<u64>,
    /// A bundle of evidence in a file; no server is needed.
    #[arg(long, value_name = "BUNDLE", help_heading = "Whom to ask")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Do not ask the device itself: what the server knows of it.
    #[arg(long, conflicts_with_all = ["fleet", "case", "file"], help_heading = "Whom to ask")]
    last_known: bool,
    /// If the device is off, keep the question until it is back; the answer lands on the ticket.
    #[arg(long, requires = "ticket", conflicts_with_all = ["fleet", "case", "file"], help_heading = "Whom to ask")]
    when_back: bool,
    /// The ticket that it is asked for.
    #[arg(long, value_name = "TICKET")]
    ticket: Option<u64>,
    /// Show what people wrote too, where the server wants a second person for that.
    #[arg(long, conflicts_with_all = ["file", "when_back"])]
    content: bool,
    /// A value for ":name" in the SQL; may be given several times.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    pub(in crate::cli) params: Vec<(String, String)>,
    /// Most rows.
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// Give up after this [default: 30s].
    #[arg(long, value_parser = when::seconds, value_name = "TIME")]
    deadline: Option<u64>,
    /// Names that osquery has too mean what they mean there: processes, routes, mounts, certificates …
    #[arg(long)]
    pub(in crate::cli) osquery: bool,
}

/// "name=value".
pub(in crate::cli) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a parameter is written NAME=VALUE")?;
    let name = name.trim().trim_start_matches([':', '@', '$']);
    if name.is_empty() { Err("a parameter has a name".into()) } else { Ok((name.to_owned(), value.to_owned())) }
}

impl Whom {
    /// More than one device, or a file.
    pub(in crate::cli) fn is_set(&self) -> bool {
        self.fleet || self.case.is_some() || self.file.is_some()
    }

    /// Tables have the column `device`. Devices that are asked live answer each for themselves.
    pub(in crate::cli) fn is_of_many(&self) -> bool {
        self.case.is_some() || (self.fleet && !self.live)
    }

    /// Whether it is said whom to ask, once.
    pub(in crate::cli) fn check(&self, device: Option<&str>) -> anyhow::Result<()> {
        if self.is_set() == device.is_some() {
            let advice = "name a device, or say --fleet, --case TICKET or --file BUNDLE; one of them";
            return Err(Trouble::new("it is not said whom to ask", advice).into());
        }
        Ok(())
    }

    /// The way to the one who answers.
    pub(in crate::cli) async fn open(&self, device: Option<String>, home: &Path) -> anyhow::Result<Asker> {
        self.check(device.as_deref())?;
        if let Some(file) = &self.file {
            return Ok(Asker::File(Arc::new(bundle_source::open(file)?)));
        }
        let desk = connect::open(&config::read(home)?).await?;
        let scope = match (device, self.case) {
            (Some(device), _) => Scope::Device(device),
            (None, Some(ticket)) => Scope::CaseTicket(ticket),
            (None, None) => {
                Scope::Fleet(Fleet { r#where: self.condition.clone().unwrap_or_default(), live: self.live })
            }
        };
        let request = QueryRequest {
            query: None,
            scope: Some(scope),
            last_known: self.last_known,
            when_back: self.when_back,
            content: self.content,
        };
        Ok(Asker::Desk(Box::new(desk), request))
    }

    /// The question, in the asker's time zone.
    pub(in crate::cli) fn query(&self, sql: &str) -> anyhow::Result<Query> {
        let mut parameters = BTreeMap::new();
        for (name, value) in &self.params {
            if parameters.insert(name.clone(), value.clone()).is_some() {
                return Err(Trouble::new(format!("the parameter {name} is given twice"), "").into());
            }
        }
        let time_max_ms = u32::try_from(self.deadline.unwrap_or_default().saturating_mul(1_000));
        Ok(Query {
            sql: sql.to_owned(),
            parameters,
            rows_max: self.limit.unwrap_or_default(),
            time_max_ms: time_max_ms.context("the deadline is too far away")?,
            zone: zone(),
            osquery: self.osquery,
            ticket: self.ticket.unwrap_or_default(),
            ..Query::default()
        })
    }
}

/// This machine's time zone by its name, or as a POSIX TZ string.
fn zone() -> String {
    let system = TimeZone::system();
    let told = || std::env::var("TZ").ok().map(|zone| zone.trim_start_matches(':').to_owned());
    system.iana_name().map(str::to_owned).or_else(told).unwrap_or_default()
}
