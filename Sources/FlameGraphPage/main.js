// Starts the page, when all of it is there.

const profile = new Profile(JSON.parse(document.getElementById("profile").textContent));
showHeader(profile);
showLedger(profile);
showThreads(profile);
const view = new View(profile);
connectControls(view);
view.update(true);
publish(view);
