"use strict";
// Every word of the page, in both languages. What a model says never goes through here, and never becomes markup.
const WORDS = {
  en: {
    skip: "Skip to the work", connecting: "Asking the server what it has …", key: "API key", use: "Use", tabs: "What to try",
    keyLabel: "API key; kept until this page is closed, and nowhere else", dark: "Dark", light: "Light",
    about: "{parameters} parameters · reads {context} tokens at once · objective {objective}{task}", adapted: " · adapted to {task}",
    write: "Write", chat: "Chat", fill: "Fill gaps", classify: "Classify", answer: "Answer", rewrite: "Translate, summarise", inside: "Look inside", alike: "Compare texts",
    prompt: "Text to go on with", promptExample: "Once upon a time", go: "Write", stop: "Stop", shades: "show probabilities", written: "What was written",
    likely: "likely", unlikely: "surprising", stripHelp: "Point at a token, or move with the arrow keys, to see what else could have stood there.",
    conversation: "Conversation", chatEmpty: "Nothing said yet.", system: "Instructions to the model", say: "Your message", send: "Send", chatNew: "New conversation", me: "You", model: "Model",
    fillLabel: "Text with [MASK] where something is missing", goFill: "Fill", gap: "Insert a gap", candidates: "candidates", gapNumber: "Gap {n}", nothing: "(nothing)",
    text: "Text", second: "Second text, where the task has two", goClassify: "Classify",
    question: "Question", passage: "Passage to answer from; without one, the documents that the server has", goAnswer: "Answer", sure: "{p} sure",
    unsure: "Not sure enough to answer.", closest: "Closest guess: {answer} ({p})", citation: "{document}, {start} to {end}", score: "score {score}",
    rewriteHow: "What to make of the text", translate: "a translation", summarize: "a summary", goRewrite: "Go",
    insideLabel: "Text to look at", goInside: "Look", tokensTitle: "How likely each token was", attentionTitle: "Which tokens look at which", layer: "layer", heads: "heads; the first is the mean of all",
    mean: "mean of all heads", head: "head {n}", mapHelp: "Each row is a token that looks, each column one that is looked at; the stronger the colour, the more. Arrow keys move.", looks: "{from} gives {to} {p} of its attention ({head})",
    textA: "One text", textB: "Another", goAlike: "Compare", cosine: "cosine {x}", same: "alike", alikeNote: "The cosine of the two vectors: 1 is the same direction, 0 is nothing in common.",
    settings: "Settings", maxTokens: "most tokens", temperature: "temperature", topP: "top-p", topK: "top-k", seed: "seed", all: "all", random: "random",
    stopAt: "stop at (one a line; \\n is a line's end)", settingsNote: "Temperature 0 always takes the likeliest token; a seed gives the same text again.",
    keyGo: "starts", keyStop: "stops", keyMove: "move between tabs and tokens", routes: "Routes for programs",
    working: "working …", done: "done", stopped: "stopped", wrote: "{n} tokens · {rate} a second · first after {first}",
    token: "{token} was {p} likely", ranked: "{token} was {p} likely, number {rank} of all", begins: "the first token, which nothing was asked about",
    unreachable: "The server cannot be reached. Is it still running?", refused: "The server wants an API key.", busy: "The server has as much to do as it takes on. Try again in a moment.", failed: "The server refused ({status}).", empty: "There is no text yet.", noModel: "The server has no model.",
  },
  zh: {
    skip: "跳到正文", connecting: "正在询问服务器有什么模型……", key: "API 密钥", use: "使用", tabs: "试用功能",
    keyLabel: "API 密钥；只保存到本页关闭为止，不存到别处", dark: "深色", light: "浅色",
    about: "{parameters} 个参数 · 一次读 {context} 个词元 · 训练目标：{objective}{task}", adapted: " · 已适配任务：{task}",
    write: "续写", chat: "对话", fill: "填空", classify: "分类", answer: "问答", rewrite: "翻译与摘要", inside: "看内部", alike: "比较文本",
    prompt: "要续写的文本", promptExample: "从前", go: "续写", stop: "停止", shades: "显示概率", written: "写出的文本",
    likely: "意料之中", unlikely: "意料之外", stripHelp: "指向某个词元，或用方向键移动，可查看此处还可能出现什么。",
    conversation: "对话记录", chatEmpty: "还没有对话。", system: "给模型的指示", say: "你的话", send: "发送", chatNew: "新对话", me: "你", model: "模型",
    fillLabel: "文本，缺少之处写 [MASK]", goFill: "填空", gap: "插入空格", candidates: "候选数", gapNumber: "第 {n} 处", nothing: "（空）",
    text: "文本", second: "第二段文本（任务需要两段时填写）", goClassify: "分类",
    question: "问题", passage: "回答所依据的段落；不填则用服务器上的文档", goAnswer: "回答", sure: "把握 {p}",
    unsure: "把握不够，不作回答。", closest: "最接近的猜测：{answer}（{p}）", citation: "{document}，{start} 至 {end}", score: "得分 {score}",
    rewriteHow: "要得到什么", translate: "译文", summarize: "摘要", goRewrite: "开始",
    insideLabel: "要查看的文本", goInside: "查看", tokensTitle: "每个词元的概率", attentionTitle: "词元之间的注意力", layer: "层", heads: "注意力头；第一个是全部的平均",
    mean: "全部头的平均", head: "第 {n} 头", mapHelp: "每一行是注视的词元，每一列是被注视的词元；颜色越浓，注意力越多。可用方向键移动。", looks: "{from} 把 {p} 的注意力给了 {to}（{head}）",
    textA: "一段文本", textB: "另一段文本", goAlike: "比较", cosine: "余弦 {x}", same: "相似", alikeNote: "两个向量的余弦：1 表示方向相同，0 表示毫无共同之处。",
    settings: "设置", maxTokens: "最多词元数", temperature: "温度", topP: "top-p", topK: "top-k", seed: "随机种子", all: "全部", random: "随机",
    stopAt: "遇到这些文字时停止（每行一个；\\n 表示换行）", settingsNote: "温度为 0 时总取最可能的词元；同一种子得到同样的文本。",
    keyGo: "开始", keyStop: "停止", keyMove: "在标签和词元间移动", routes: "供程序使用的接口",
    working: "进行中……", done: "完成", stopped: "已停止", wrote: "{n} 个词元 · 每秒 {rate} 个 · 首个用时 {first}",
    token: "{token} 的概率为 {p}", ranked: "{token} 的概率为 {p}，在所有词元中排第 {rank}", begins: "第一个词元，没有被预测",
    unreachable: "连不上服务器。它还在运行吗？", refused: "服务器需要 API 密钥。", busy: "服务器正忙，请稍后再试。", failed: "服务器拒绝了请求（{status}）。", empty: "还没有文本。", noModel: "服务器没有模型。",
  },
};
let language = (navigator.languages ?? [navigator.language]).map((one) => one.slice(0, 2)).find((one) => one in WORDS) ?? "en";
let model = null, key = "";

const $ = (id) => document.getElementById(id);
const all = (query, from = document) => [...from.querySelectorAll(query)];
const word = (name, values = {}) => {
  const text = name.split(".").reduce((words, part) => words?.[part], WORDS[language]) ?? name;
  return text.replace(/\{(\w+)\}/g, (_, value) => values[value] ?? "");
};
// Says something that the choice of language changes; values that are functions are asked again.
const say = (node, name, values = {}) => {
  node.dataset.t = name;
  node.values = values;
  node.textContent = word(name, Object.fromEntries(Object.entries(values).map(([at, value]) => [at, typeof value === "function" ? value() : value])));
  return node;
};
const hush = (node) => { delete node.dataset.t; node.textContent = ""; };
const make = (tag, props = {}, ...inside) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...inside);
  return node;
};
const speak = () => {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  all("[data-t]").forEach((node) => say(node, node.dataset.t, node.values));
  all("[data-t-label]").forEach((node) => node.setAttribute("aria-label", word(node.dataset.tLabel)));
  all("[data-t-placeholder]").forEach((node) => { node.placeholder = word(node.dataset.tPlaceholder); });
  $("language").textContent = language === "zh" ? "English" : "中文";
  $("language").lang = language === "zh" ? "en" : "zh";
};
const number = (x, digits = 3) => new Intl.NumberFormat(language, { maximumSignificantDigits: digits }).format(x);
const percent = (p) => p > 0 && p < 0.0005 ? "< 0.1 %" : new Intl.NumberFormat(language, { maximumFractionDigits: p < 0.1 ? 1 : 0 }).format(100 * p) + " %";
// A token as it stands alone: its spaces and line ends seen, and a part of a letter as a box.
const visible = (text) => text.replace(/^bytes:\\x.*$|\uFFFD+/, "▯").replace(/^ +| +$/g, (spaces) => "␣".repeat(spaces.length)).replace(/\n/g, "⏎").replace(/\t/g, "⇥") || word("nothing");

/* What the server says. */
class Refused extends Error {
  constructor(name, values = {}, told = "") { super(told); this.name = name; this.values = values; }
}
const ask = async (path, body, signal) => {
  const headers = key ? { Authorization: "Bearer " + key } : {};
  if (body) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal, cache: "no-store" });
  } catch (fault) {
    throw fault.name === "AbortError" ? fault : new Refused("unreachable");
  }
  if (reply.ok) return reply;
  const told = await reply.json().then((document) => document.error?.message ?? "", () => "");
  const name = { 401: "refused", 403: "refused", 429: "busy", 503: "busy" }[reply.status] ?? "failed";
  throw new Refused(name, { status: reply.status }, told);
};
const answer = async (path, body, signal) => (await ask(path, body, signal)).json();
const stream = async (path, body, signal, each) => {
  const reader = (await ask(path, { ...body, stream: true }, signal)).body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ""; ;) {
    const { value, done } = await reader.read();
    const events = (held + (value ?? "")).split(/\r?\n\r?\n/);
    held = done ? "" : events.pop();
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (!data) continue;
      if (data === "[DONE]") return;
      const document = JSON.parse(data);
      if (document.error) throw new Refused("failed", { status: document.error.code ?? "" }, document.error.message);
      each(document);
    }
    if (done) return;
  }
};

/* A panel at work: one job at a time, which can be stopped. */
const jobs = new Map();
const complain = (place, fault) => {
  place.hidden = false;
  if (fault instanceof Refused && fault.message) { delete place.dataset.t; place.textContent = fault.message; }
  else say(place, fault instanceof Refused ? fault.name : "failed", fault.values ?? { status: fault.message });
  if (fault.name === "refused") openKey(true);
};
const work = async (panel, job) => {
  jobs.get(panel)?.abort();
  const mine = new AbortController();
  jobs.set(panel, mine);
  const [main, stop, status, fault] = [".main", ".stop", ".status", ".fault"].map((query) => panel.querySelector(query));
  const busy = (is) => { main.disabled = is; if (stop) stop.disabled = !is; panel.setAttribute("aria-busy", is); panel.classList.toggle("writing", is); };
  fault.hidden = true;
  busy(true);
  say(status, "working");
  // What counts along is seen, and read out when it is over.
  status.ariaLive = "off";
  try {
    const said = await job(mine.signal).finally(() => { status.ariaLive = "polite"; });
    if (said) say(status, ...said); else say(status, "done");
  } catch (wrong) {
    if (wrong.name === "AbortError") say(status, "stopped");
    else { hush(status); complain(fault, wrong); }
  } finally {
    if (jobs.get(panel) === mine) { jobs.delete(panel); busy(false); }
  }
};
const needed = (id) => {
  const text = $(id).value;
  if (!text.trim()) { $(id).focus(); throw new Refused("empty"); }
  return text;
};

/* Tokens in a row, shaded by how surprising they are; one of them is looked at. */
const bars = (list, items) => list.replaceChildren(...items.map(({ name, p, best }) => {
  const fill = make("i");
  fill.style.setProperty("--p", Math.max(0, Math.min(1, p)));
  return make("li", { className: best ? "best" : "" }, make("span", { className: "of" }, name), make("span", { className: "track" }, fill), make("b", {}, percent(p)));
}));
class Strip {
  constructor(result) {
    this.node = result.querySelector(".strip");
    this.detail = result.querySelector(".detail");
    this.help = this.detail.firstElementChild;
    this.node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined || !this.tokens.length) return;
      event.preventDefault();
      this.show(Math.max(0, Math.min(this.tokens.length - 1, this.at + step)));
    });
    for (const how of ["pointerover", "click"]) {
      this.node.addEventListener(how, (event) => { if (event.target.at !== undefined) this.show(event.target.at); });
    }
    this.clear();
  }
  clear(given = "") {
    this.tokens = [];
    this.at = -1;
    this.node.replaceChildren(make("span", { className: "given" }, given));
    this.detail.replaceChildren(this.help);
  }
  // `p` is null where nothing is known of a token.
  add(token) {
    const node = make("span", { className: "token", at: this.tokens.length }, token.text || "▯");
    if (token.p !== null) node.style.setProperty("--s", Math.min(1, -Math.log2(Math.max(token.p, 1e-9)) / 10));
    // Whoever reads the end goes on with it; whoever scrolled back is left there.
    const { scrollTop, scrollHeight, clientHeight } = this.node;
    this.node.append(node);
    if (scrollHeight - scrollTop - clientHeight < 8) this.node.scrollTop = this.node.scrollHeight;
    this.tokens.push({ ...token, node });
  }
  show(at) {
    this.tokens[this.at]?.node.classList.remove("on");
    this.at = at;
    const { text, p, rank, others, node } = this.tokens[at];
    node.classList.add("on");
    if (node.offsetTop < this.node.scrollTop || node.offsetTop + node.offsetHeight > this.node.scrollTop + this.node.clientHeight) this.node.scrollTop = node.offsetTop - this.node.clientHeight / 2;
    const values = { token: text ? visible(text) : "▯", p: () => percent(p), rank };
    const what = p === null ? say(make("p", { className: "what" }), "begins") : say(make("p", { className: "what" }), rank ? "ranked" : "token", values);
    const list = make("ol", { className: "bars" });
    bars(list, (others ?? []).map((other) => ({ name: visible(other.text), p: other.p, best: other.text === text })));
    this.detail.replaceChildren(what, list);
  }
}

/* Writing. */
const settings = () => {
  const value = (id) => $(id).value === "" ? undefined : Number($(id).value);
  const stops = $("stop-at").value.split("\n").filter(Boolean).map((line) => line.replace(/\\n/g, "\n").replace(/\\t/g, "\t"));
  return {
    model: model.id, max_tokens: value("max-tokens"), temperature: value("temperature"), top_p: value("top-p"), top_k: value("top-k"), seed: value("seed"),
    stop: stops.length ? stops.slice(0, 4) : undefined,
  };
};
// Counts what comes, for the line of status.
const clock = () => {
  const start = performance.now();
  let first = null, n = 0, last = start;
  return {
    tick(tokens) { last = performance.now(); first ??= last; n += tokens; },
    says() {
      const rate = n > 1 && last > first ? (n - 1) / (last - first) * 1000 : 0, after = first === null ? 0 : first - start;
      return ["wrote", { n, rate: () => rate ? number(rate) : "–", first: () => after < 1000 ? number(after, 2) + " ms" : number(after / 1000) + " s" }];
    },
  };
};
const writing = new Strip($("write").querySelector(".result"));
const write = () => work($("write"), async (signal) => {
  const prompt = needed("write-prompt"), time = clock(), shades = $("write-shades").checked;
  writing.clear(prompt);
  const result = $("write").querySelector(".result");
  result.hidden = false;
  result.classList.toggle("plain", !shades);
  const status = $("write").querySelector(".status");
  await stream("v1/completions", { ...settings(), prompt, logprobs: shades ? 5 : undefined }, signal, ({ choices: [choice] = [] }) => {
    const { text = "", logprobs } = choice ?? {};
    if (!text) return;
    const { tokens = [], token_logprobs: logs = [], top_logprobs: tops = [] } = logprobs ?? {};
    time.tick(tokens.length || 1);
    // Letters that are cut between tokens stand together, with the likelihood of all of them.
    const pieces = tokens.join("") === text ? tokens.map((token, at) => [token, logs[at], tops[at]]) : [[text, logs.length ? logs.reduce((a, b) => a + b, 0) : null, null]];
    for (const [token, log, top] of pieces) {
      const others = top && Object.entries(top).map(([text, log]) => ({ text, p: Math.exp(log) })).sort((a, b) => b.p - a.p);
      writing.add({ text: token, p: typeof log === "number" ? Math.exp(log) : null, others });
    }
    say(status, ...time.says());
  });
  return time.says();
});

const talk = [];
const speech = (who, text) => {
  const body = make("span", {}, text);
  const box = make("p", { className: who === "user" ? "said me" : "said" }, say(make("small"), who === "user" ? "me" : "model"), body);
  $("chat").querySelector(".talk").append(box);
  box.scrollIntoView({ block: "nearest" });
  return body;
};
const chat = () => work($("chat"), async (signal) => {
  const content = needed("chat-say"), time = clock(), log = $("chat").querySelector(".talk");
  if (!talk.length) log.replaceChildren();
  talk.push({ role: "user", content });
  speech("user", content);
  $("chat-say").value = "";
  const system = $("chat-system").value.trim();
  const messages = [...(system ? [{ role: "system", content: system }] : []), ...talk];
  const reply = { role: "assistant", content: "" }, body = speech("assistant", "");
  try {
    await stream("v1/chat/completions", { ...settings(), messages: messages.map((one) => ({ ...one })) }, signal, ({ choices: [choice] = [] }) => {
      const more = choice?.delta?.content;
      if (!more) return;
      time.tick(1);
      reply.content += more;
      body.textContent = reply.content;
      log.scrollTop = log.scrollHeight;
    });
    return ["done"];
  } finally {
    // What was said before a stop was said; a question without any answer is asked again.
    if (reply.content) talk.push(reply);
    else { talk.pop(); body.parentElement.remove(); if (!$("chat-say").value) $("chat-say").value = content; }
  }
});

/* One question, one answer. */
const fill = () => work($("fill"), async (signal) => {
  const text = needed("fill-text"), parts = text.split("[MASK]");
  const { gaps } = await answer("x/fill-mask", { text, top_k: Number($("fill-k").value) || 8 }, signal);
  const result = $("fill").querySelector(".result"), line = result.querySelector(".filled");
  result.hidden = false;
  line.replaceChildren(...parts.flatMap((part, at) => {
    const best = gaps[at]?.candidates[0]?.token;
    // A candidate brings its own space.
    return best === undefined ? [part] : [best.startsWith(" ") ? part.replace(/\s+$/, "") + " " : part, make("mark", {}, best.trim() || word("nothing"))];
  }));
  result.querySelector(".gaps").replaceChildren(...gaps.map(({ candidates }, at) => {
    const list = make("ol", { className: "bars" });
    bars(list, candidates.map(({ token, probability }, nth) => ({ name: visible(token.trim() || token), p: probability, best: nth === 0 })));
    return make("div", {}, ...(gaps.length > 1 ? [say(make("h3"), "gapNumber", { n: at + 1 })] : []), list);
  }));
});
const classify = () => work($("classify"), async (signal) => {
  const text = needed("classify-text"), second = $("classify-second").value.trim() || undefined;
  const { label, probabilities } = await answer("x/classify", { text, second }, signal);
  const result = $("classify").querySelector(".result");
  result.hidden = false;
  result.querySelector(".verdict").textContent = label;
  bars(result.querySelector(".bars"), probabilities.map(({ label: name, probability }) => ({ name, p: probability, best: name === label })));
});
// A text with every place of `part` marked.
const marked = (text, part) => part ? text.split(part).flatMap((piece, at) => at ? [make("mark", {}, part), piece] : [piece]) : [text];
// A passage around its bytes from `start` to `end`, which are marked.
const around = (passage, start, end) => {
  const bytes = new TextEncoder().encode(passage), read = (from, to) => new TextDecoder().decode(bytes.slice(from, to));
  const before = [...read(0, start)], after = [...read(end)], far = 400;
  return [(before.length > far ? "… " : "") + before.slice(-far).join(""), make("mark", {}, read(start, end)), after.slice(0, far).join("") + (after.length > far ? " …" : "")];
};
const reply = () => work($("answer"), async (signal) => {
  const question = needed("answer-question"), passage = $("answer-passage").value.trim() || undefined;
  const said = await answer("x/answer", { question, passage }, signal);
  const result = $("answer").querySelector(".result"), verdict = result.querySelector(".verdict"), sure = result.querySelector(".sure");
  result.hidden = false;
  verdict.classList.toggle("unsure", said.abstained);
  if (said.abstained) {
    say(verdict, "unsure");
    if (said.answer) say(sure, "closest", { answer: said.answer, p: () => percent(said.probability ?? 0) }); else hush(sure);
  } else {
    delete verdict.dataset.t;
    verdict.textContent = said.answer;
    say(sure, "sure", { p: () => percent(said.probability ?? 0) });
  }
  result.querySelector(".citations").replaceChildren(...(said.citations ?? []).map(({ document: name, start, end, text, score, passage: near }) => {
    const where = say(make("h3"), "citation", { document: name ?? "", start, end });
    const points = say(make("span", { className: "note" }), "score", { score: () => number(score ?? 0) });
    const whole = near ?? (passage ? { text: passage, start: 0 } : null);
    const shown = whole && end > start ? around(whole.text, start - whole.start, end - whole.start) : marked(text ?? "", said.answer);
    return make("div", { className: "citation" }, where, make("p", {}, ...shown), points);
  }));
});
const rewrite = () => work($("rewrite"), async (signal) => {
  const text = needed("rewrite-text"), how = document.querySelector('input[name="how"]:checked').value;
  const said = await answer("x/" + how, { text }, signal);
  const result = $("rewrite").querySelector(".result");
  result.hidden = false;
  result.querySelector(".made").textContent = said.text;
});
const alike = () => work($("alike"), async (signal) => {
  const { data: [a, b] } = await answer("v1/embeddings", { model: model.id, input: [needed("alike-a"), needed("alike-b")], encoding_format: "float" }, signal);
  const dot = (x, y) => x.reduce((sum, value, at) => sum + value * y[at], 0);
  const cosine = dot(a.embedding, b.embedding) / Math.sqrt(dot(a.embedding, a.embedding) * dot(b.embedding, b.embedding) || 1);
  const result = $("alike").querySelector(".result");
  result.hidden = false;
  say(result.querySelector(".verdict"), "cosine", { x: () => number(cosine) });
  bars(result.querySelector(".bars"), [{ name: word("same"), p: Math.max(0, cosine), best: true }]);
});

/* Inside: how likely each token was, and who looks at whom. */
const looking = new Strip($("inside").querySelector(".tokens"));
const look = () => work($("inside"), async (signal) => {
  const text = needed("inside-text"), ask = [];
  if (model.ssl.writes || model.ssl.fills) {
    ask.push(answer("x/tokens", { text, top_k: 5 }, signal).then(({ tokens }) => {
      looking.clear();
      tokens.forEach(({ text, probability, rank, candidates = [] }) => looking.add({ text, p: probability, rank, others: candidates.map((one) => ({ text: one.token, p: one.probability })) }));
      $("inside").querySelector(".tokens").hidden = false;
    }));
  }
  if (model.ssl.attends) ask.push(attend(text, Number($("layer").value) || 0, signal));
  // One may fail where the other has something to show.
  const failed = (await Promise.allSettled(ask)).filter((one) => one.status === "rejected");
  if (failed.length) throw failed[0].reason;
});
const view = { tokens: [], weights: [], head: -1, from: 0, to: 0, text: "" };
const attend = async (text, layer, signal) => {
  const shown = $("inside").querySelector(".attention");
  shown.hidden = true;
  const said = await answer("x/attention", { text, layer }, signal);
  Object.assign(view, { text, tokens: said.tokens, weights: [mean(said.weights), ...said.weights], head: 0, from: Math.max(0, said.tokens.length - 1), to: 0 });
  $("layer").replaceChildren(...Array.from({ length: said.layers }, (_, at) => make("option", { value: at, selected: at === said.layer }, String(at + 1))));
  shown.hidden = false;
  $("inside").querySelector(".heads").replaceChildren(...view.weights.map((weights, head) => {
    const small = make("canvas", { width: weights.length, height: weights.length });
    const button = make("button", { type: "button", title: headName(head), ariaLabel: headName(head) }, small);
    button.addEventListener("click", () => { view.head = head; draw(); });
    return button;
  }));
  draw();
};
const mean = (heads) => heads[0].map((row, t) => row.map((_, s) => heads.reduce((sum, head) => sum + head[t][s], 0) / heads.length));
const headName = (head) => head ? word("head", { n: head }) : word("mean");
const paint = (canvas, weights, cell, left, top) => {
  const brush = canvas.getContext("2d");
  brush.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--accent");
  // Roots, so that small shares are seen beside great ones.
  weights.forEach((row, t) => row.forEach((weight, s) => { brush.globalAlpha = Math.sqrt(weight); brush.fillRect(left + s * cell, top + t * cell, cell, cell); }));
  brush.globalAlpha = 1;
  return brush;
};
const grid = () => {
  const n = view.tokens.length, labels = n <= 64, left = labels ? 92 : 0, top = labels ? 84 : 0;
  const room = ($("map").parentElement.clientWidth - left - 2) / n;
  return { n, labels, left, top, cell: Math.max(labels ? 15 : 3, Math.min(34, Math.floor(room))) };
};
const draw = () => {
  if (!view.tokens.length || $("inside").hidden) return;
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name);
  all(".heads button").forEach((button, head) => {
    button.setAttribute("aria-pressed", head === view.head);
    button.title = button.ariaLabel = headName(head);
    const small = button.firstElementChild;
    small.getContext("2d").clearRect(0, 0, small.width, small.height);
    paint(small, view.weights[head], 1, 0, 0);
  });
  const { n, labels, cell, left, top } = grid(), sharp = window.devicePixelRatio || 1, map = $("map");
  [map.width, map.height] = [(left + n * cell + 1) * sharp, (top + n * cell + 1) * sharp];
  [map.style.width, map.style.height] = [left + n * cell + 1 + "px", top + n * cell + 1 + "px"];
  map.getContext("2d").scale(sharp, sharp);
  const brush = paint(map, view.weights[view.head], cell, left, top);
  brush.strokeStyle = colour("--line");
  brush.strokeRect(left + 0.5, top + 0.5, n * cell, n * cell);
  brush.font = "12px system-ui, sans-serif";
  brush.textBaseline = "middle";
  for (let at = 0; labels && at < n; at += 1) {
    const letters = [...visible(view.tokens[at])], name = letters.length > 11 ? letters.slice(0, 10).join("") + "…" : letters.join(""), middle = at * cell + cell / 2;
    brush.fillStyle = colour(at === view.from ? "--ink" : "--soft");
    brush.textAlign = "right";
    brush.fillText(name, left - 7, top + middle);
    brush.save();
    brush.translate(left + middle, top - 7);
    brush.rotate(-Math.PI / 2);
    brush.textAlign = "left";
    brush.fillStyle = colour(at === view.to ? "--ink" : "--soft");
    brush.fillText(name, 0, 0);
    brush.restore();
  }
  brush.strokeStyle = colour("--warm");
  brush.lineWidth = 2;
  brush.strokeRect(left + view.to * cell + 1, top + view.from * cell + 1, Math.max(cell - 1, 2), Math.max(cell - 1, 2));
  const name = (at) => visible(view.tokens[at]);
  say($("map-says"), "looks", { from: name(view.from), to: name(view.to), p: () => percent(view.weights[view.head][view.from][view.to]), head: () => headName(view.head) });
};
$("map").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key], n = view.tokens.length;
  if (!step) return;
  event.preventDefault();
  [view.from, view.to] = [view.from + step[0], view.to + step[1]].map((at) => Math.max(0, Math.min(n - 1, at)));
  draw();
});
for (const how of ["pointermove", "pointerdown"]) {
  $("map").addEventListener(how, ({ offsetX, offsetY }) => {
    const { n, cell, left, top } = grid(), [to, from] = [Math.floor((offsetX - left) / cell), Math.floor((offsetY - top) / cell)];
    if (from < 0 || to < 0 || from >= n || to >= n || (from === view.from && to === view.to)) return;
    Object.assign(view, { from, to });
    draw();
  });
}
$("layer").addEventListener("change", () => work($("inside"), (signal) => attend(view.text, Number($("layer").value), signal)));

/* The page itself. */
const RUN = { write, chat, fill, classify, answer: reply, rewrite, inside: look, alike };
const tabs = all('[role="tab"]'), panels = all('[role="tabpanel"]');
const shown = () => tabs.filter((tab) => !tab.hidden);
const current = () => panels.find((panel) => !panel.hidden);
const pick = (tab, focus) => {
  tabs.forEach((one) => { one.setAttribute("aria-selected", one === tab); one.tabIndex = one === tab ? 0 : -1; });
  panels.forEach((panel) => { panel.hidden = panel.id !== tab.getAttribute("aria-controls"); });
  const sets = ["write", "chat"].includes(current().id);
  $("settings").hidden = !sets;
  $("work").classList.toggle("wide", sets);
  history.replaceState(null, "", "#" + current().id);
  if (focus) tab.focus();
  tab.scrollIntoView({ block: "nearest", inline: "nearest" });
  draw();
};
tabs.forEach((tab) => tab.addEventListener("click", () => pick(tab)));
$("tabs").addEventListener("keydown", (event) => {
  const some = shown(), at = some.indexOf(event.target), last = some.length - 1;
  const next = { ArrowLeft: at ? at - 1 : last, ArrowRight: at === last ? 0 : at + 1, Home: 0, End: last }[event.key];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  pick(some[next], true);
});
panels.forEach((panel) => {
  panel.querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); RUN[panel.id](); });
  panel.querySelector(".stop")?.addEventListener("click", () => jobs.get(panel)?.abort());
});
document.addEventListener("keydown", (event) => {
  const panel = current();
  if (!panel || event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); if (!jobs.has(panel)) RUN[panel.id](); }
  if (event.key === "Escape") jobs.get(panel)?.abort();
});
$("chat-new").addEventListener("click", () => {
  jobs.get($("chat"))?.abort();
  talk.length = 0;
  $("chat").querySelector(".talk").replaceChildren(say(make("p", { className: "note" }), "chatEmpty"));
  $("chat-say").focus();
});
$("fill-gap").addEventListener("click", () => {
  const box = $("fill-text");
  box.setRangeText("[MASK]", box.selectionStart, box.selectionEnd, "end");
  box.focus();
});
addEventListener("resize", () => { if (!$("inside").hidden) draw(); });
$("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; speak(); draw(); });
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const themed = () => { say($("theme"), isDark() ? "light" : "dark"); $("theme").setAttribute("aria-pressed", isDark()); draw(); };
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; themed(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themed);
const openKey = (open) => {
  $("key-panel").hidden = !open;
  $("key-toggle").setAttribute("aria-expanded", open);
  if (open) $("key").focus();
};
$("key-toggle").addEventListener("click", () => openKey($("key-panel").hidden));
$("key-panel").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  openKey(false);
  if (model) $("key-toggle").focus(); else begin();
});

const EXAMPLES = { "fill-text": { en: "The capital of France is [MASK].", zh: "今天天气很[MASK]。" }, "inside-text": { en: "The quick brown fox jumps over the lazy dog.", zh: "今天天气很好。" } };
const begin = async () => {
  $("fault").hidden = true;
  say($("about"), "connecting");
  try {
    const { data } = await answer("v1/models");
    if (!data?.length) throw new Refused("noModel");
    model = { ssl: {}, ...data[0] };
  } catch (fault) {
    hush($("about"));
    complain($("fault"), fault);
    return;
  }
  const { parameters, context, objective, writes, fills, embeds, attends, task, answers } = model.ssl, translates = objective === "translation";
  $("model").textContent = document.title = model.id;
  const size = () => new Intl.NumberFormat(language, { notation: "compact", maximumSignificantDigits: 3 }).format(parameters ?? 0);
  say($("about"), "about", { parameters: size, context: () => number(context ?? 0, 9), objective: objective ?? "–", task: () => task ? word("adapted", { task }) : "" });
  const can = {
    write: writes, chat: writes, fill: fills, classify: task === "classification", answer: answers || task === "extraction",
    rewrite: translates || task === "writing", inside: writes || fills || attends, alike: embeds,
  };
  tabs.forEach((tab) => { tab.hidden = !can[tab.getAttribute("aria-controls")]; });
  $("tabs").hidden = false;
  if (context) $("max-tokens").max = context;
  for (const [id, texts] of Object.entries(EXAMPLES)) $(id).value ||= texts[language];
  const wanted = shown().find((tab) => "#" + tab.getAttribute("aria-controls") === location.hash);
  // Of a model that was adapted, first what it was adapted to.
  const first = shown().find((tab) => ({ classification: "classify", extraction: "answer", writing: "rewrite", chat: "chat" })[task] === tab.getAttribute("aria-controls"));
  pick(wanted ?? first ?? shown()[0]);
};
// On a phone the settings come after what they set, closed.
if (matchMedia("(max-width: 860px)").matches) $("settings").firstElementChild.open = false;
speak();
themed();
begin();
