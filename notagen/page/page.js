// Lights up the bar that is played, loops, zooms, and goes to the score: for all scores on the page, also later ones.
(() => {
  const barAt = (times, seconds) => {
    let found = null;
    for (const [start, id] of times) {
      if (start > seconds + 0.02) break;
      found = id;
    }
    return found;
  };
  const light = (take, seconds) => {
    if (take.dataset.times !== take.timesText) {
      take.timesText = take.dataset.times;
      take.times = JSON.parse(take.timesText);
    }
    const id = seconds === null ? null : barAt(take.times, seconds);
    if (id === take.lit) return;
    take.lit = id;
    take.querySelectorAll("g.measure.playing").forEach((bar) => bar.classList.remove("playing"));
    if (id === null) return;
    // the second time round, verovio adds a suffix to the ids
    const bar = take.querySelector(`[id="${CSS.escape(id)}"], [id="${CSS.escape(id.replace(/-rend\d+$/, ""))}"]`);
    if (!bar) return;
    bar.classList.add("playing");
    const place = bar.getBoundingClientRect();
    if (place.bottom > window.innerHeight || place.top < 0) bar.scrollIntoView({ block: "center" });
  };
  // on a telephone the score lies below what was pressed, and has no height before it is there
  let follow = false;
  const goToStatus = () => {
    const status = document.querySelector("#status");
    if (status && status.getBoundingClientRect().top > window.innerHeight / 2) status.scrollIntoView({ behavior: "smooth" });
  };
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#compose, #continue, #write-on")) return;
    follow = true;
    goToStatus();
  });
  for (const own of ["wheel", "touchmove"]) document.addEventListener(own, () => { follow = false; }, { passive: true });
  setInterval(() => {
    if (follow && document.querySelector("#score .score")) {
      follow = false;
      goToStatus();
    }
    for (const audio of document.querySelectorAll(".take audio")) {
      const take = audio.closest(".take");
      audio.loop = take.querySelector("input.loop")?.checked ?? false;
      light(take, audio.ended || (audio.paused && audio.currentTime === 0) ? null : audio.currentTime);
    }
    const zoom = document.querySelector("#zoom input[type=range]");
    if (zoom) document.querySelectorAll(".score").forEach((score) => score.style.setProperty("--zoom", `${zoom.value}%`));
  }, 100);
})();
