import { type RefObject, useEffect, useRef, useState } from 'react';

/**
 * Receives files that are dropped on the room of an element. Elsewhere on the page, a drop does nothing: the browser would
 * replace the page with the file.
 *
 * @returns whether files are being dragged over the room
 */
export function useFileDrop(inside: RefObject<HTMLElement | null>, onFiles: ((files: File[]) => void) | null): boolean {
  const [over, setOver] = useState(false);
  const latest = useRef(onFiles);
  useEffect(() => {
    latest.current = onFiles;
  });
  useEffect(() => {
    const accepts = ({ target }: DragEvent) =>
      latest.current !== null &&
      target instanceof Element &&
      target.closest('dialog') === null &&
      inside.current?.closest('.room')?.contains(target) === true;
    const onDragOver = (event: DragEvent) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      const accepted = accepts(event);
      event.dataTransfer.dropEffect = accepted ? 'copy' : 'none';
      setOver(accepted);
    };
    const onDragLeave = (event: DragEvent) => {
      // Without a related target, the pointer has left the window.
      if (event.relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent) => {
      setOver(false);
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      if (accepts(event)) latest.current?.([...event.dataTransfer.files]);
    };
    addEventListener('dragover', onDragOver);
    addEventListener('dragleave', onDragLeave);
    addEventListener('drop', onDrop);
    return () => {
      removeEventListener('dragover', onDragOver);
      removeEventListener('dragleave', onDragLeave);
      removeEventListener('drop', onDrop);
    };
  }, []);
  return over;
}

/** Returns the pasted files. None if the clipboard has text of an office program, which adds a picture of the text. */
export function pastedFiles({ types, files }: DataTransfer): File[] {
  return types.includes('text/plain') && types.includes('text/html') ? [] : [...files];
}
