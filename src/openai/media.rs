//! What images and files may be, at both of OpenAI's doors.

use crate::Error;
use crate::chat::data_url::DataUrl;
use crate::chat::{File, ImageUrl};
use crate::http::fields::{Ignored, invalid, unsupported};

const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

pub(crate) fn check_image(image: &ImageUrl, at: impl Fn() -> String, ignored: &mut Ignored) -> Result<(), Error> {
    if image.url.starts_with("data:") {
        let url = parse(&image.url, "image", &at)?;
        if !IMAGE_TYPES.contains(&url.media_type) {
            let message = format!(
                "Images of type {:?} are not supported. Use one of: {}.",
                url.media_type,
                IMAGE_TYPES.join(", ")
            );
            return Err(unsupported(at(), message));
        }
    } else if !image.url.strip_prefix("https://").is_some_and(|rest| rest.starts_with(|c| c != '/')) {
        let message = format!(
            "The image's URL begins {:?}. Use an `https://` URL, or `data:image/png;base64,...`; local files are never \
             read.",
            image.url.chars().take(16).collect::<String>()
        );
        return Err(unsupported(at(), message));
    }
    if let Some(detail) = image.extra.get("detail").filter(|detail| *detail != "auto") {
        ignored.name("messages[].content[].image_url.", "detail", detail);
    }
    ignored.name_all("messages[].content[].image_url.", &image.extra, &["detail"]);
    Ok(())
}

pub(crate) fn check_file(file: &File, at: impl Fn(&str) -> String, ignored: &mut Ignored) -> Result<(), Error> {
    if file.file_id.is_some() {
        let message = "Files cannot be uploaded here, so no `file_id` is known. Send the file as `file_data`.";
        return Err(unsupported(at("file.file_id"), message));
    }
    let at = || at("file.file_data");
    let Some(data) = &file.file_data else {
        let message = "A `file` part needs `file_data`, such as `data:application/pdf;base64,...`. Add it.";
        return Err(invalid(at(), message));
    };
    let url = parse(data, "file", at)?;
    if url.media_type.starts_with("text/") {
        if !url.is_text() {
            return Err(invalid(at(), "The file's data is not UTF-8 text in base64. Convert it to UTF-8 first."));
        }
    } else if url.media_type != "application/pdf" {
        let message = format!(
            "Files of type {:?} are not supported. Send a PDF (application/pdf) or text (text/plain, text/markdown, ...).",
            url.media_type
        );
        return Err(unsupported(at(), message));
    }
    ignored.name_all("messages[].content[].file.", &file.extra, &[]);
    Ok(())
}

fn parse<'a>(url: &'a str, what: &str, at: impl Fn() -> String) -> Result<DataUrl<'a>, Error> {
    DataUrl::parse(url).map_err(|problem| {
        let message = format!(
            "The {what} is not a usable data URL: {problem}. Send `data:<media type>;base64,<standard base64>`."
        );
        invalid(at(), message)
    })
}
