//! A help desk that means ill: what it answers is bounded and told, and sent on nowhere.

use std::net::SocketAddr;

use deskside_tests::lab::process::Server;
use deskside_tests::lab::reluctant::{Mood, Reluctant};

use super::written;

fn settings(at: SocketAddr) -> String {
    format!(
        "[[help_desk]]\nname = \"odd\"\nkind = \"webhook\"\nurl = \"http://{at}/\"\nhook_secret_file = \"SECRET\"\n\
         token_file = \"TOKEN\"\n"
    )
}

#[test]
fn settings_that_a_help_desk_does_not_know_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    for (settings, word) in [
        (settings(nowhere).replace("webhook", "lotus-notes"), "no kind \"lotus-notes\""),
        (settings(nowhere) + "colour = \"red\"\n", "colour"),
        (settings(nowhere) + "[help_desk.options]\ncolour = \"red\"\n", "colour"),
        (settings(nowhere).replace("http://127.0.0.1:1/", "http://desk.example/"), "plain_http"),
    ] {
        let settings = written(folder.path(), &settings, "token", "secret");
        let error = format!("{:#}", Server::start_with(folder.path(), &settings).err().unwrap());
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[tokio::test]
async fn what_a_hostile_help_desk_answers_is_bounded_and_told() {
    use deskside_server::config::HelpDeskConfig;
    use deskside_server::ticket::{Doing, Http, Trouble};

    let proxy = Reluctant::before("127.0.0.1:1".parse().unwrap(), &[]).unwrap();
    let config =
        HelpDeskConfig { url: format!("http://{}", proxy.address()), timeout_s: 60, ..HelpDeskConfig::default() };
    let http = Http::new(&config, tonic::codegen::http::HeaderMap::new()).unwrap();
    for (mood, word) in [
        (Mood::Elsewhere, "evil.example"),
        (Mood::Page, "text/html"),
        (Mood::Endless, "longer than"),
        (Mood::Fails, "500"),
        (Mood::Busy(7), "429"),
        (Mood::Cut, "line broke"),
    ] {
        proxy.will(std::slice::from_ref(&mood));
        let url = http.at(&["tickets"], &[]);
        let trouble = http.json(Doing::Writing, http.request("POST".parse().unwrap(), url)).await.unwrap_err();
        assert!(trouble.why().contains(word), "{mood:?}: {trouble}");
        let doubtful = !matches!(mood, Mood::Elsewhere | Mood::Busy(_));
        assert_eq!(matches!(trouble, Trouble::Unknown { .. }), doubtful, "{mood:?}: {trouble:?}");
    }
}
