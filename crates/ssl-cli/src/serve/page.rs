//! The page to try a model in a browser: one document that needs no other, and asks the routes that programs ask.

use std::sync::OnceLock;

/// The page, with its style and its script inside.
pub(super) fn html() -> &'static str {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| {
        include_str!("page.html").replace("/*style*/", include_str!("page.css")).replace("/*script*/", include_str!("page.js"))
    })
}

#[cfg(test)]
mod tests {
    use super::html;

    #[test]
    fn the_page_is_whole_and_needs_nothing_from_elsewhere() {
        let page = html();
        assert!(!page.contains("/*style*/") && !page.contains("/*script*/"), "a part is missing");
        assert!(page.matches("</script>").count() == 1 && page.matches("</style>").count() == 1, "a part ends early");
        for outside in ["http://", "https://", "src=\"", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn no_text_of_a_model_becomes_markup() {
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
            assert!(!html().contains(way), "{way}");
        }
    }
}
