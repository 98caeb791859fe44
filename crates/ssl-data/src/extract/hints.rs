//! What the authors of a page say about its parts: roles, and the words in classes and ids. They are used as everywhere on
//! the web, by the templates of content systems, and name what a part is for.

use super::token::attribute;
use super::tree::{Node, Tag};

/// What a part of a page is for, as far as its tag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Nothing is said.
    None,
    /// It holds the text of an article.
    Body,
    /// It stands beside the text: navigation, comments, advertisements, ...
    Beside,
    /// It is not shown.
    Hidden,
}

/// Words of which one in a class or id says that a part stands beside the text.
const BESIDE: &[&str] = &[
    "ad",
    "ads",
    "adslot",
    "adunit",
    "advert",
    "advertisement",
    "advertising",
    "adverts",
    "author",
    "authors",
    "banner",
    "bio",
    "breadcrumb",
    "breadcrumbs",
    "byline",
    "caption",
    "captions",
    "carousel",
    "comment",
    "comments",
    "cookie",
    "cookies",
    "copyright",
    "correction",
    "credit",
    "credits",
    "cta",
    "dateline",
    "dfp",
    "disclaimer",
    "disqus",
    "donate",
    "donation",
    "dropdown",
    "embed",
    "feedback",
    "flyout",
    "footer",
    "form",
    "gallery",
    "infobox",
    "jumbotron",
    "kicker",
    "login",
    "masthead",
    "menu",
    "meta",
    "metadata",
    "modal",
    "mostread",
    "nav",
    "navbar",
    "navigation",
    "newsletter",
    "newsletters",
    "outbrain",
    "overlay",
    "pager",
    "pagination",
    "paywall",
    "playlist",
    "popular",
    "popup",
    "print",
    "profile",
    "promo",
    "promos",
    "promoted",
    "promotion",
    "rating",
    "ratings",
    "readmore",
    "recirc",
    "recirculation",
    "recommend",
    "recommendation",
    "recommendations",
    "recommended",
    "related",
    "replies",
    "reply",
    "respond",
    "rss",
    "share",
    "sharebar",
    "sharedaddy",
    "shares",
    "sharing",
    "shoutbox",
    "sidebar",
    "signup",
    "skip",
    "skyscraper",
    "slideshow",
    "social",
    "sponsor",
    "sponsored",
    "subscribe",
    "subscription",
    "syndication",
    "taboola",
    "tag",
    "tagcloud",
    "taglist",
    "tags",
    "teaser",
    "timestamp",
    "toolbar",
    "tooltip",
    "trending",
    "widget",
    "widgets",
];

/// Parts of classes and ids, without what is no letter, that say a part holds an article's text.
const BODY: &[&str] = &[
    "articlebody",
    "articlecontent",
    "articlecopy",
    "articletext",
    "blogcontent",
    "blogpost",
    "bodycopy",
    "bodytext",
    "contentbody",
    "contenttext",
    "entrybody",
    "entrycontent",
    "entrytext",
    "fulltext",
    "newsbody",
    "newscontent",
    "newstext",
    "pagebody",
    "postbody",
    "postcontent",
    "posttext",
    "richtext",
    "storybody",
    "storycontent",
    "storycopy",
    "storytext",
    "textbody",
];

/// Reads the hints of an element.
pub(super) fn hint(node: &Node<'_>) -> Hint {
    let attributes = node.text;
    match node.tag {
        Tag::Aside | Tag::Nav | Tag::Menu | Tag::Footer | Tag::Button | Tag::Select | Tag::Figcaption | Tag::Label => {
            return Hint::Beside;
        }
        Tag::Opaque | Tag::Head | Tag::Input => return Hint::Hidden,
        _ if attributes.is_empty() => return Hint::None,
        _ => {}
    }
    let get = |name| attribute(attributes, name);
    if get("hidden").is_some() || get("aria-hidden").is_some_and(|value| value == "true") || get("style").is_some_and(hides) {
        return Hint::Hidden;
    }
    if get("itemprop").is_some_and(|value| value.eq_ignore_ascii_case("articleBody")) {
        return Hint::Body;
    }
    if let Some(role) = get("role")
        && ["navigation", "complementary", "contentinfo", "search", "dialog", "alert", "menu", "toolbar"].contains(&role)
    {
        return Hint::Beside;
    }
    let (class, id) = (get("class").unwrap_or(""), get("id").unwrap_or(""));
    if words(class).chain(words(id)).any(is_beside) {
        return Hint::Beside;
    }
    if [class, id].into_iter().any(names_body) { Hint::Body } else { Hint::None }
}

fn hides(style: &str) -> bool {
    let style: String = style.chars().filter(|c| !c.is_whitespace()).take(200).collect::<String>().to_ascii_lowercase();
    style.contains("display:none") || style.contains("visibility:hidden")
}

/// The words of a class or id: runs of letters, parted where a capital follows a small letter.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.bytes().position(|byte| byte.is_ascii_alphabetic())?;
        let bytes = &rest.as_bytes()[start..];
        let end = (1..bytes.len())
            .find(|&at| {
                !bytes[at].is_ascii_alphabetic() || (bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase())
            })
            .unwrap_or(bytes.len());
        let word = &rest[start..start + end];
        rest = &rest[start + end..];
        Some(word)
    })
}

fn is_beside(word: &str) -> bool {
    let mut lower = [0; 16];
    let Some(lower) = lower.get_mut(..word.len()) else { return false };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    BESIDE.binary_search_by(|known| known.as_bytes().cmp(lower)).is_ok()
}

fn names_body(text: &str) -> bool {
    if text.len() > 500 {
        return false;
    }
    text.split_ascii_whitespace().any(|name| {
        let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        BODY.iter().any(|body| letters.contains(body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(BESIDE.is_sorted());
    }
}
