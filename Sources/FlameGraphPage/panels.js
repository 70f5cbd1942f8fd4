// The page around the graph: header, legend, details, ledger, tooltip. Texts of the profile only ever become text
// nodes; nothing of them is read as HTML.

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function number(count) { return count.toLocaleString("en-US"); }

function samplesText(count) { return `${number(count)} ${count === 1 ? "sample" : "samples"}`; }

/** A share in percent; what is not nothing is not shown as nothing. */
function shareText(part, whole) {
  if (whole === 0 || part === 0) return "0 %";
  const percent = part / whole * 100;
  if (percent < 0.1) return "under 0.1 %";
  if (part < whole && percent >= 99.95) return "over 99.9 %";
  return `${percent.toFixed(1)} %`;
}

/** CPU time of samples: each stands for one period. */
function cpuText(samples, period) {
  const nanoseconds = samples * period;
  if (nanoseconds >= 1e9) return `${(nanoseconds / 1e9).toFixed(2)} s`;
  if (nanoseconds >= 1e6) return `${(nanoseconds / 1e6).toFixed(2)} ms`;
  return `${(nanoseconds / 1e3).toFixed(2)} µs`;
}

function listOfFacts(facts) {
  return facts.map(([term, text]) => element("div", {}, [
    element("dt", { textContent: term }), element("dd", { textContent: text }),
  ]));
}

function showHeader(profile) {
  document.title = `${profile.title} - flame graph`;
  const command = document.getElementById("command");
  command.textContent = profile.title;
  command.title = profile.title;
  document.getElementById("facts").replaceChildren(...listOfFacts(profile.facts));
}

function showLedger(profile) {
  const lines = profile.ledger.lines.map((line) => element("span", {
    textContent: line.text, className: line.isDoubt ? "doubt" : "",
  }));
  document.getElementById("ledger-lines").replaceChildren(...lines);
  document.getElementById("ledger-all").textContent = profile.ledger.all;
}

function showLegend(profile, weights) {
  const sums = weights.selfByLanguage();
  const whole = weights.total[0];
  const present = new Set(profile.language);
  const items = profile.languages.flatMap((language, index) => {
    if (!present.has(index)) return [];
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = language.stripe
      ? `repeating-linear-gradient(135deg, ${language.color} 0 3px, ${language.stripe} 3px 5px)` : language.color;
    return [element("li", {}, [
      swatch, element("span", { textContent: language.title }),
      element("span", { className: "share", textContent: shareText(sums[index], whole) }),
    ])];
  });
  document.getElementById("legend").replaceChildren(...items);
}

function showThreads(profile) {
  const sums = new Float64Array(profile.threads.length);
  profile.sampleThread.forEach((thread, sample) => { sums[thread] += profile.sampleCount[sample]; });
  const option = (value, text) => element("option", { value, textContent: text });
  const select = document.getElementById("threads");
  select.replaceChildren(option("all", `all (${profile.threads.length})`));
  profile.processes.forEach((process, index) => {
    const threads = [...profile.threads.keys()].filter((thread) => profile.threads[thread].process === index)
      .sort((left, right) => sums[right] - sums[left] || left - right);
    const options = threads.map((thread) => {
      const { name, tid } = profile.threads[thread];
      return option(`thread ${thread}`, `${name} ${tid}: ${samplesText(sums[thread])}`);
    });
    if (profile.processes.length > 1) options.unshift(option(`process ${index}`, `all of process ${process.pid}`));
    select.append(element("optgroup", { label: `process ${process.pid}` }, options));
  });
}

/** Everything that is known of a box, in the order in which it is read. */
function factsOfBox(profile, weights, tree, box) {
  const [weight, whole] = [tree.weight[box], tree.weight[0]];
  const amount = (count) => `${samplesText(count)}, ${cpuText(count, profile.period)}`;
  const here = ["Here", `${amount(weight)}, ${shareText(weight, whole)} of all shown`];
  const frame = tree.frame[box];
  if (frame < 0) return [here];
  const facts = [["Language", profile.languageOf(frame).title]];
  const file = profile.fileOf(frame);
  if (profile.kind[frame] === KIND.python) {
    facts.push(["File", file], ["Line", weights.mergesLines ? "all" : String(profile.line[frame])]);
    if (profile.firstLine[frame] > 0) facts.push(["Defined at line", String(profile.firstLine[frame])]);
  } else if (file !== "") {
    facts.push(["Module", file]);
  }
  const { self, total } = weights.ofFunction(profile.functionOf[frame]);
  facts.push(here);
  if (tree instanceof CalleeTree) {
    const own = tree.selfOf(box);
    facts.push(["Self here", `${amount(own)}, ${shareText(own, whole)}`]);
  }
  facts.push(
    ["Function in all", `${amount(total)}, ${shareText(total, weights.total[0])}`],
    ["its self", `${amount(self)}, ${shareText(self, weights.total[0])}`]);
  return facts;
}

function showDetails(title, facts) {
  document.getElementById("details").replaceChildren(
    element("h2", { textContent: title }), element("dl", {}, listOfFacts(facts)));
}

/** Shows the tooltip beside the pointer, inside of the window. */
function showTip(x, y, title, lines) {
  const tip = document.getElementById("tip");
  tip.replaceChildren(
    element("strong", { textContent: title }), ...lines.map((line) => element("span", { textContent: line })));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.max(4, Math.min(x + 14, innerWidth - width - 4));
  const top = y + 18 + height < innerHeight ? y + 18 : Math.max(4, y - height - 10);
  tip.style.left = `${left}px`;
  tip.style.top = `${top}px`;
}

function hideTip() { document.getElementById("tip").hidden = true; }
