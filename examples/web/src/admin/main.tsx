import '../styles/base.css';
import '../styles/account.css';
import '../styles/dialog.css';
import '../styles/admin.css';
import { createRoot } from 'react-dom/client';
import { AdminApp } from './AdminApp.tsx';

const page = document.getElementById('page');
if (page) createRoot(page).render(<AdminApp />);
