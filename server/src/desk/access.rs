//! Who may do what: each call of the desk with the least role that it takes. A call that is not here is let in by nobody.

use crate::store::Role;

/// What a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// No token: who it is comes of the call itself.
    Nothing,
    /// This role, or one above it.
    Role(Role),
}

const VIEWER: Takes = Takes::Role(Role::Viewer);
const TECHNICIAN: Takes = Takes::Role(Role::Technician);
const ADMIN: Takes = Takes::Role(Role::Admin);

/// The calls, as the contract names them.
pub(super) const ACCESS: &[(&str, Takes)] = &[
    ("WhoAmI", VIEWER),
    ("ListDevices", VIEWER),
    ("GetDevice", VIEWER),
    ("Show", VIEWER),
    ("Ask", TECHNICIAN),
    ("RunProbe", TECHNICIAN),
    ("Tail", TECHNICIAN),
    ("Logs", TECHNICIAN),
    ("ListTickets", VIEWER),
    ("NewTicket", TECHNICIAN),
    ("GetCase", VIEWER),
    // Level 1 escalates and adds notes; the rest takes a technician (`ticketing`).
    ("UpdateTicket", VIEWER),
    ("Collect", TECHNICIAN),
    ("Attend", TECHNICIAN),
    ("CancelCollection", TECHNICIAN),
    ("WatchCollection", VIEWER),
    ("ListRecipes", VIEWER),
    ("Attach", TECHNICIAN),
    ("ListEvidence", VIEWER),
    ("GetEvidence", TECHNICIAN),
    ("ListTables", VIEWER),
    ("ListSignatures", VIEWER),
    // To viewers it shows nothing of persons, and it asks no device of them (`querying`).
    ("Query", VIEWER),
    ("ListQuestions", VIEWER),
    ("CancelQuestion", TECHNICIAN),
    ("GetCaseFile", VIEWER),
    // It shows what evidence holds, row by row.
    ("CompareCollections", TECHNICIAN),
    ("ListTechnicians", ADMIN),
    ("AddTechnician", ADMIN),
    ("RenewTechnician", ADMIN),
    ("RenewOwnToken", VIEWER),
    ("RevokeTechnician", ADMIN),
    // Opening a case for one takes a technician (`help_desks`).
    ("FindTicket", VIEWER),
    ("ListOutbox", VIEWER),
    ("ChangeOutbox", TECHNICIAN),
    ("GetCustody", TECHNICIAN),
    ("ListAudit", ADMIN),
    ("ExportCase", TECHNICIAN),
    ("AddHold", ADMIN),
    ("ListHolds", VIEWER),
    ("ReleaseHold", ADMIN),
    ("DeleteEvidence", ADMIN),
    ("RedactEvidence", TECHNICIAN),
    ("LogIn", Takes::Nothing),
    ("ListApprovals", TECHNICIAN),
    ("DecideApproval", TECHNICIAN),
];

/// What a call takes; nothing where it is not known.
pub(super) fn takes(call: &str) -> Option<Takes> {
    ACCESS.iter().find(|(name, _takes)| *name == call).map(|(_name, takes)| *takes)
}

#[cfg(test)]
mod tests {
    use deskside_proto::DESCRIPTORS;
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn each_call_of_the_contract_says_what_it_takes_and_nothing_else_does() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let desk = pool.get_service_by_name("deskside.v1.Desk").unwrap();
        let mut calls: Vec<String> = desk.methods().map(|method| method.name().to_owned()).collect();
        let mut lines: Vec<&str> = ACCESS.iter().map(|(call, _takes)| *call).collect();
        calls.sort_unstable();
        lines.sort_unstable();
        assert_eq!(calls, lines, "a new call takes a line in ACCESS");
    }
}
