
// A new message is shown whole, and the view stays with it until the visitor scrolls.
{
  const timeline = document.querySelector("#channel-timeline");
  const list = document.querySelector("#channel-message-list");
  let newest = 0n;
  let follows = true;
  const settle = () => { if (follows) timeline.scrollTop = timeline.scrollHeight; };
  const leave = () => { follows = timeline.scrollHeight - timeline.scrollTop - timeline.clientHeight < 40; };
  new MutationObserver(() => {
    for (const message of list.querySelectorAll("[data-message-id]")) {
      const id = BigInt(message.dataset.messageId);
      if (id > newest) { newest = id; follows = true; }
    }
    requestAnimationFrame(settle);
  }).observe(list, { childList: true, subtree: true });
  new ResizeObserver(() => requestAnimationFrame(settle)).observe(list);
  timeline.addEventListener("scroll", () => requestAnimationFrame(settle), { passive: true });
  for (const kind of ["wheel", "touchmove", "pointerup", "keyup"])
    timeline.addEventListener(kind, () => { follows = false; setTimeout(leave, 200); }, { passive: true });
}
