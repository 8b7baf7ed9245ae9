//! The methods of the contract, each in the same three steps: who asks, do it, answer.

use deskside_proto::v1::desk_server::Desk as Contract;
use deskside_proto::v1::{
    AddHoldRequest, AddTechnicianRequest, Approval, AskRequest, AttachChunk, AttachReply, CancelCollectionRequest,
    CancelQuestionRequest, Case, CaseFileReply, CaseFileRequest, Catalogue, ChangeOutboxRequest, CollectRequest,
    Collection, CompareRequest, Comparison, DecideApprovalRequest, DeleteEvidenceRequest, Evidence, ExportCaseRequest,
    FindTicketRequest, GetCaseRequest, GetCustodyRequest, GetDeviceReply, GetDeviceRequest, GetEvidenceRequest, Hold,
    ListApprovalsReply, ListApprovalsRequest, ListAuditRequest, ListDevicesReply, ListDevicesRequest,
    ListEvidenceReply, ListEvidenceRequest, ListHoldsReply, ListHoldsRequest, ListOutboxReply, ListOutboxRequest,
    ListQuestionsReply, ListQuestionsRequest, ListRecipesReply, ListRecipesRequest, ListSignaturesReply,
    ListSignaturesRequest, ListTablesRequest, ListTechniciansReply, ListTechniciansRequest, ListTicketsReply,
    ListTicketsRequest, LogInRequest, LogsRequest, NewTicketRequest, OutboxEntry, PersonalToken, QueryRequest,
    Question, RedactEvidenceRequest, ReleaseHoldRequest, RenewOwnTokenRequest, RenewTechnicianRequest,
    RevokeTechnicianReply, RevokeTechnicianRequest, RunProbeRequest, ShowReply, ShowRequest, TailRequest, Ticket,
    UpdateTicketRequest, WatchCollectionRequest, WhoAmIReply, WhoAmIRequest,
};
use tonic::{Request, Response, Status, Streaming};

use super::asking::AnswerStream;
use super::caller::Deed;
use super::collecting::CollectionStream;
use super::custody::CustodyStream;
use super::evidence::ChunkStream;
use super::exporting::ExportStream;
use super::querying::PartStream;
use super::refusal::internal;
use super::session::LoginStream;
use super::{Desk, words};
use crate::case::recipes;

type Answered<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Contract for Desk {
    type AskStream = AnswerStream;
    type RunProbeStream = AnswerStream;
    type TailStream = AnswerStream;
    type LogsStream = AnswerStream;
    type WatchCollectionStream = CollectionStream;
    type AttendStream = CollectionStream;
    type GetEvidenceStream = ChunkStream;
    type QueryStream = PartStream;
    type GetCustodyStream = CustodyStream;
    type ListAuditStream = CustodyStream;
    type ExportCaseStream = ExportStream;
    type LogInStream = LoginStream;

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answered<WhoAmIReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(WhoAmIReply {
            role: caller.role.to_string(),
            expires_ms: if caller.is_session { 0 } else { caller.expires_ms },
            name: caller.name,
            server_version: env!("CARGO_PKG_VERSION").into(),
        }))
    }

    async fn list_devices(&self, request: Request<ListDevicesRequest>) -> Answered<ListDevicesReply> {
        let caller = Self::caller(&request)?;
        self.audit(&caller, Deed { what: "view", text: "devices".into(), ..Deed::default() }).await?;
        Ok(Response::new(ListDevicesReply { devices: self.all_devices().await.map_err(internal)? }))
    }

    async fn get_device(&self, request: Request<GetDeviceRequest>) -> Answered<GetDeviceReply> {
        let caller = Self::caller(&request)?;
        let device = self.device(&request.into_inner().device).await?;
        let deed = Deed { what: "view", device: Some(device.id), text: "device".into(), ..Deed::default() };
        self.audit(&caller, deed).await?;
        Ok(Response::new(self.view(&device).await.map_err(internal)?))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Answered<ShowReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.show_table(&caller, request.into_inner()).await?))
    }

    async fn ask(&self, request: Request<AskRequest>) -> Answered<AnswerStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.look(&caller, request.into_inner()).await?))
    }

    async fn run_probe(&self, request: Request<RunProbeRequest>) -> Answered<AnswerStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.probe(&caller, request.into_inner()).await?))
    }

    async fn logs(&self, request: Request<LogsRequest>) -> Answered<AnswerStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.log_of(&caller, request.into_inner()).await?))
    }

    async fn tail(&self, request: Request<TailRequest>) -> Answered<AnswerStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.follow(&caller, request.into_inner()).await?))
    }

    async fn list_tickets(&self, request: Request<ListTicketsRequest>) -> Answered<ListTicketsReply> {
        let tickets = self.list_of_tickets(request.into_inner().all).await.map_err(internal)?;
        Ok(Response::new(ListTicketsReply { tickets }))
    }

    async fn new_ticket(&self, request: Request<NewTicketRequest>) -> Answered<Ticket> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.open_ticket(&caller, request.into_inner()).await?))
    }

    async fn get_case(&self, request: Request<GetCaseRequest>) -> Answered<Case> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.case(&caller, request.into_inner().number).await?))
    }

    async fn update_ticket(&self, request: Request<UpdateTicketRequest>) -> Answered<Ticket> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.change(&caller, request.into_inner()).await?))
    }

    async fn collect(&self, request: Request<CollectRequest>) -> Answered<Collection> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.collect_for(&caller, request.into_inner()).await?))
    }

    async fn attend(&self, request: Request<CollectRequest>) -> Answered<CollectionStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.attend_to(&caller, request.into_inner()).await?))
    }

    async fn cancel_collection(&self, request: Request<CancelCollectionRequest>) -> Answered<Collection> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.call_off(&caller, &request.into_inner().id).await?))
    }

    async fn watch_collection(&self, request: Request<WatchCollectionRequest>) -> Answered<CollectionStream> {
        Ok(Response::new(self.watch(&request.into_inner().id).await?))
    }

    async fn list_recipes(&self, _request: Request<ListRecipesRequest>) -> Answered<ListRecipesReply> {
        Ok(Response::new(ListRecipesReply { recipes: recipes::all().iter().map(words::recipe).collect() }))
    }

    async fn attach(&self, request: Request<Streaming<AttachChunk>>) -> Answered<AttachReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.attach_to(&caller, request.into_inner()).await?))
    }

    async fn list_evidence(&self, request: Request<ListEvidenceRequest>) -> Answered<ListEvidenceReply> {
        let ticket = Some(request.into_inner().ticket).filter(|number| *number != 0);
        Ok(Response::new(ListEvidenceReply { evidence: self.evidence_shown(ticket).await.map_err(internal)? }))
    }

    async fn get_evidence(&self, request: Request<GetEvidenceRequest>) -> Answered<ChunkStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.hand_out(&caller, &request.into_inner().id).await?))
    }

    async fn list_signatures(&self, request: Request<ListSignaturesRequest>) -> Answered<ListSignaturesReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.signatures(&caller, request.into_inner()).await?))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Answered<PartStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.answer_to(&caller, request.into_inner()).await?))
    }

    async fn list_questions(&self, request: Request<ListQuestionsRequest>) -> Answered<ListQuestionsReply> {
        Ok(Response::new(self.questions_kept(request.into_inner()).await?))
    }

    async fn cancel_question(&self, request: Request<CancelQuestionRequest>) -> Answered<Question> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.call_question_off(&caller, &request.into_inner().id).await?))
    }

    async fn get_case_file(&self, request: Request<CaseFileRequest>) -> Answered<CaseFileReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.case_file(&caller, request.into_inner()).await?))
    }

    async fn compare_collections(&self, request: Request<CompareRequest>) -> Answered<Comparison> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.comparison(&caller, request.into_inner()).await?))
    }

    async fn list_tables(&self, _request: Request<ListTablesRequest>) -> Answered<Catalogue> {
        Ok(Response::new(self.catalogue().await?))
    }

    async fn list_technicians(&self, request: Request<ListTechniciansRequest>) -> Answered<ListTechniciansReply> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.all_technicians(&caller).await?))
    }

    async fn add_technician(&self, request: Request<AddTechnicianRequest>) -> Answered<PersonalToken> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.let_in(&caller, request.into_inner()).await?))
    }

    async fn renew_technician(&self, request: Request<RenewTechnicianRequest>) -> Answered<PersonalToken> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.renew(&caller, request.into_inner()).await?))
    }

    async fn renew_own_token(&self, request: Request<RenewOwnTokenRequest>) -> Answered<PersonalToken> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.renew_own(&caller, request.into_inner().days).await?))
    }

    async fn revoke_technician(&self, request: Request<RevokeTechnicianRequest>) -> Answered<RevokeTechnicianReply> {
        let caller = Self::caller(&request)?;
        self.shut_out(&caller, &request.into_inner().name).await?;
        Ok(Response::new(RevokeTechnicianReply {}))
    }

    async fn find_ticket(&self, request: Request<FindTicketRequest>) -> Answered<Ticket> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.ticket_by_name(&caller, request.into_inner()).await?))
    }

    async fn list_outbox(&self, request: Request<ListOutboxRequest>) -> Answered<ListOutboxReply> {
        Self::caller(&request)?;
        Ok(Response::new(self.outbox(request.into_inner().all).await?))
    }

    async fn change_outbox(&self, request: Request<ChangeOutboxRequest>) -> Answered<OutboxEntry> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.outbox_changed(&caller, request.into_inner()).await?))
    }

    async fn get_custody(&self, request: Request<GetCustodyRequest>) -> Answered<CustodyStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.custody_of(&caller, request.into_inner().ticket).await?))
    }

    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Answered<CustodyStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.audit_shown(&caller, request.into_inner()).await?))
    }

    async fn export_case(&self, request: Request<ExportCaseRequest>) -> Answered<ExportStream> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.export_case_of(&caller, request.into_inner().ticket).await?))
    }

    async fn add_hold(&self, request: Request<AddHoldRequest>) -> Answered<Hold> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.hold(&caller, request.into_inner()).await?))
    }

    async fn list_holds(&self, request: Request<ListHoldsRequest>) -> Answered<ListHoldsReply> {
        Ok(Response::new(self.all_holds(request.into_inner().all).await?))
    }

    async fn release_hold(&self, request: Request<ReleaseHoldRequest>) -> Answered<Hold> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.release(&caller, request.into_inner()).await?))
    }

    async fn delete_evidence(&self, request: Request<DeleteEvidenceRequest>) -> Answered<Evidence> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.delete(&caller, request.into_inner()).await?))
    }

    async fn redact_evidence(&self, request: Request<RedactEvidenceRequest>) -> Answered<Evidence> {
        let caller = Self::caller(&request)?;
        Ok(Response::new(self.redact(&caller, request.into_inner()).await?))
    }

    async fn log_in(&self, _request: Request<LogInRequest>) -> Answered<LoginStream> {
        Ok(Response::new(self.logging_in().await?))
    }

    async fn list_approvals(&self, _request: Request<ListApprovalsRequest>) -> Answered<ListApprovalsReply> {
        Ok(Response::new(self.all_approvals()))
    }

    async fn decide_approval(&self, request: Request<DecideApprovalRequest>) -> Answered<Approval> {
        let caller = Self::caller(&request)?;
        let DecideApprovalRequest { number, approved } = request.into_inner();
        Ok(Response::new(self.decide(&caller, number, approved).await?))
    }
}
