//! Case files and comparisons, on request.

use deskside_proto::v1::{CaseFileReply, CaseFileRequest, CaseForm, CompareRequest, Comparison};
use tonic::Status;

use super::Desk;
use super::caller::{Caller, Deed};
use super::refusal::{Lines, internal, text, unknown};
use crate::casefile::{self, Compared};

/// Longest name of a table.
const NAME_CHARS_MAX: usize = 255;

impl Desk {
    pub(super) async fn case_file(&self, caller: &Caller, request: CaseFileRequest) -> Result<CaseFileReply, Status> {
        let ticket = self.ticket_by_number(request.number).await?;
        let words = match request.form() {
            CaseForm::CaseValues => "case file",
            CaseForm::CaseMarkdown => "case file as Markdown",
            CaseForm::CaseHtml => "case file as HTML",
        };
        self.audit(caller, Deed { what: "view", ticket: ticket.number, text: words.into(), ..Deed::default() }).await?;
        let file = self.case_files.build(ticket.number).await.map_err(internal)?;
        let file = file.ok_or_else(|| Status::not_found(format!("no ticket {}", request.number)))?;
        let text = match request.form() {
            CaseForm::CaseValues => String::new(),
            CaseForm::CaseMarkdown => casefile::markdown(&file),
            CaseForm::CaseHtml => casefile::html(&file),
        };
        Ok(CaseFileReply { file: Some(file), text })
    }

    pub(super) async fn comparison(&self, caller: &Caller, request: CompareRequest) -> Result<Comparison, Status> {
        let ticket = self.ticket_by_number(request.number).await?;
        let table = text("the table's name", &request.table, NAME_CHARS_MAX, Lines::One)?;
        if !table.is_empty() && deskside_proto::catalog::table(&table).is_none() {
            return Err(unknown("table", &table, "`deskside tables` lists them"));
        }
        let words = format!("collections {} and {} compared", request.one, request.other);
        self.audit(caller, Deed { what: "view", ticket: ticket.number, text: words, ..Deed::default() }).await?;
        let compared = self.case_files.compare(ticket.number, request.one, request.other, &table).await;
        match compared.map_err(internal)? {
            Compared::Whole(comparison) => Ok(*comparison),
            Compared::Not(why) => Err(Status::failed_precondition(why)),
        }
    }
}
