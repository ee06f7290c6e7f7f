//! The list of the scrip-master files, and the files.

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use super::{Door, route, visitor};
use crate::clock::Moment;
use crate::login::ok;
use crate::market::{Segment, files};
use crate::route::{Answer, Call, Route};
use crate::switches::ScripFiles;

pub(super) static ROUTES: &[Route] = &[
    route!(GET "script-details/1.0/masterscrip/file-paths", Plain, file_paths),
    route!(GET "Files/1.0/masterscrip/v1/file-paths", GwNapi, file_paths),
    route!(GET "Files/1.0/masterscrip/v2/file-paths", GwNapi, file_paths),
    route!(GET "apim/files/2.0/masterscrip/v1/file-paths", Apim, file_paths),
    route!(GET "scrip/1.0/masterscrip/file-paths", Uat, file_paths),
    route!(GET "wso2-scripmaster/v1/prod/{date}/{folder}/{file}", Plain, file),
];

/// The files in the order of the broker's list.
const FILES: [Segment; 7] = [
    Segment::CdeFo,
    Segment::McxFo,
    Segment::NseFo,
    Segment::BseFo,
    Segment::NseCom,
    Segment::BseCm,
    Segment::NseCm,
];

fn file_paths(call: &Call<'_>, door: Door) -> Result<Answer, Answer> {
    visitor(call, door)?;
    let base = format!("{}/wso2-scripmaster/v1/prod", call.state.url);
    let date = Moment::on(call.state.exchange().market.day).iso_date();
    let paths: Vec<String> = FILES
        .into_iter()
        .map(|segment| {
            let (folder, name) = files::path(segment);
            format!("{base}/{date}/{folder}/{name}")
        })
        .collect();
    Ok(ok(
        &json!({"data": {"baseFolder": base, "filesPaths": paths}}),
    ))
}

/// One file. It needs no header. Other days, and folders that do not fit, are refused.
fn file(call: &Call<'_>, _: Door) -> Result<Answer, Answer> {
    let (day, what) = {
        let exchange = call.state.exchange();
        (exchange.market.day, exchange.switches.scrip_files)
    };
    let mut segments = call.path.rsplit('/');
    let (name, folder) = (segments.next(), segments.next());
    let today = segments.next() == Some(&*Moment::on(day).iso_date());
    let fits = |segment: &Segment| {
        let (known_folder, known_name) = files::path(*segment);
        folder == Some(known_folder) && name == Some(&*known_name)
    };
    let Some(segment) = FILES.into_iter().find(fits).filter(|_| today) else {
        return Err(page(StatusCode::FORBIDDEN, "Access denied"));
    };
    let body = match call.state.scrip_files().get(&segment) {
        Some(given) => given.clone(),
        None if what == ScripFiles::Html => {
            return Ok(page(StatusCode::OK, "Service is under maintenance"));
        }
        None => files::file(segment, day, what),
    };
    Ok(Answer {
        status: StatusCode::OK,
        headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/csv"))],
        body,
    })
}

/// A page for people.
fn page(status: StatusCode, text: &str) -> Answer {
    Answer {
        status,
        headers: vec![(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))],
        body: format!("<html><body><h1>{text}</h1></body></html>\n").into(),
    }
}
